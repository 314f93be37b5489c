//! Checks librdkafka's properties by name, and addresses of brokers, without a connection.

use std::io::Read;
use std::path::Path;

use sluicebox_core::nearest::nearest;
use sluicebox_core::options::{instead_of, instead_of_in_table};
use sluicebox_core::pem::{self, Holds, Unfit};
use sluicebox_core::secret::is_loopback;
use sluicebox_durable::open_regular;

use super::KAFKA_PREFIX;
use crate::error::{Result, SourceError};

#[cfg(test)]
mod tests;

/// What brokers are written as.
pub(super) const BROKERS: &str =
    "write addresses as host:port with commas between, as in 'broker-1:9092,broker-2:9092'";

/// What may stand before an address, as in Kafka's own configuration of listeners. librdkafka takes it for what
/// `security.protocol` says.
const SCHEMES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/// The properties whose value is the path of a file that librdkafka reads, and what it is to hold.
const FILES: &[(&str, Content)] = &[
    ("ssl.ca.location", Content::Pem(Holds::Certificates)),
    ("ssl.certificate.location", Content::Pem(Holds::Certificates)),
    ("ssl.crl.location", Content::Pem(Holds::Revoked)),
    ("ssl.key.location", Content::Pem(Holds::Key)),
    ("ssl.keystore.location", Content::Keystore),
    ("ssl.engine.location", Content::Any),
    ("https.ca.location", Content::Pem(Holds::Certificates)),
    ("sasl.oauthbearer.assertion.file", Content::Any),
    ("sasl.oauthbearer.assertion.jwt.template.file", Content::Any),
    ("sasl.oauthbearer.assertion.private.key.file", Content::Pem(Holds::Key)),
];

/// Those of [`FILES`] that may be a folder of such files.
const FOLDERS: &[&str] = &["ssl.ca.location", "https.ca.location"];

/// What is said of a name that librdkafka does not have.
const NOT_KNOWN: &str = "not known";

/// Certificates are no longer; what is, need not be read to its end.
const LONGEST: u64 = 16 << 20;

/// What a file is to hold.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// PEM, which is all that librdkafka takes.
    Pem(Holds),
    /// PKCS#12.
    Keystore,
    /// What cannot be told before it is used.
    Any,
}

/// Makes sure that a consumer of librdkafka has the property `property`, which was written as `option`.
///
/// # Errors
/// When the source sets it by itself, a consumer has none of this name, or only a producer has.
pub(super) fn check(source_name: &str, option: &str, property: &str) -> Result<()> {
    if let Some(instead) = instead_of(property) {
        return Err(SourceError::option(source_name, option, "set", instead));
    }
    if CONSUMER.contains(&property) {
        return Ok(());
    }
    if PRODUCER.contains(&property) {
        return Err(SourceError::option(
            source_name,
            option,
            "a property of producers",
            "leave it out: a source takes properties of consumers",
        ));
    }
    Err(SourceError::option(source_name, option, NOT_KNOWN, right(property, CONSUMER.iter().copied())))
}

/// Makes sure that librdkafka has the property `property`, which was written as `option` in a table named `table`. A producer sends its
/// rows, and a consumer reads what it says of them: it takes the properties of both.
///
/// # Errors
/// When there is none of this name.
pub fn check_of_table(table: &str, option: &str, property: &str) -> Result<()> {
    if is_property(property) {
        return Ok(());
    }
    let remedy = instead_of_in_table(property)
        .map_or_else(|| right(property, PRODUCER.iter().chain(CONSUMER).copied()), str::to_owned);
    Err(SourceError::option(table, option, NOT_KNOWN, remedy))
}

/// What to write in place of `property`, which none of `known` is.
fn right<'a>(property: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(property, known) {
        Some(near) => format!("did you mean '{KAFKA_PREFIX}{near}'?"),
        None => "write a property of librdkafka, the Kafka client: its CONFIGURATION.md lists them".to_owned(),
    }
}

/// Whether librdkafka has the property `name`, which is written without `kafka.`.
#[must_use]
pub fn is_property(name: &str) -> bool {
    CONSUMER.contains(&name) || PRODUCER.contains(&name)
}

/// Makes sure that the files that `properties` name can be read, and hold what librdkafka wants of them. A file that does not is one
/// that it cannot connect with, ever; where the protocol is none of TLS it does not even look.
///
/// # Errors
/// For the first one that cannot be read, or holds something else.
pub(crate) fn check_files<'a>(
    source_name: &str,
    properties: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<()> {
    for (name, path) in properties {
        let Some((property, content)) = FILES.iter().find(|(file, _)| file == name) else { continue };
        // librdkafka's word for "look in the usual places".
        if path == "probe" {
            continue;
        }
        let refused = |problem: String, remedy: String| {
            let given = format!("'{path}', which {problem}");
            Err(SourceError::option(source_name, format!("{KAFKA_PREFIX}{name}"), given, remedy))
        };
        match unfit(Path::new(path), FOLDERS.contains(property), *content) {
            Ok(None) => {}
            Ok(Some(unfit)) => return refused(unfit.problem, format!("name {}", unfit.right)),
            Err(error) => {
                return refused(
                    format!("cannot be read ({error})"),
                    "name a file that is there and that this user may read".to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// Why the file at `path` is not what it is to be.
fn unfit(path: &Path, may_be_folder: bool, content: Content) -> std::io::Result<Option<Unfit>> {
    if path.is_dir() {
        std::fs::read_dir(path)?;
        let unfit = Unfit { problem: "is a folder".to_owned(), right: "a file" };
        return Ok((!may_be_folder).then_some(unfit));
    }
    // A pipe is no file here: librdkafka opens it for itself, and would find it read.
    let file = open_regular(path)?;
    if matches!(content, Content::Any) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(match content {
        Content::Pem(holds) => pem::check(&bytes, holds).err(),
        // A keystore is one sequence of DER.
        Content::Keystore => (bytes.first() != Some(&0x30)).then(|| Unfit {
            problem: "is no keystore in PKCS#12".to_owned(),
            right: "a PKCS#12 file; `keytool -importkeystore -srckeystore FILE -deststoretype PKCS12` makes one of Java's",
        }),
        Content::Any => None,
    })
}

/// Whether `text` is addresses of brokers with commas between.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check_brokers(text: &str) -> std::result::Result<(), String> {
    for address in text.split(',').map(str::trim) {
        if address.is_empty() {
            return Err("an address between the commas is empty".to_owned());
        }
        let rest = match address.split_once("://") {
            Some((scheme, rest)) if SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) => rest,
            Some((scheme, rest)) => {
                let host = rest.split('/').next().unwrap_or(rest);
                return Err(format!("'{scheme}://' is no protocol of Kafka: write '{host}'"));
            }
            None => address,
        };
        let (host, port) = host_and_port(rest);
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c)) {
            return Err(format!("'{address}' has no host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().ok().is_none_or(|number| number == 0)) {
            return Err(format!("'{address}' has no port from 1 to 65535"));
        }
    }
    Ok(())
}

fn host_and_port(address: &str) -> (&str, Option<&str>) {
    match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => address.rsplit_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    }
}

/// The hosts of `brokers` that are other machines.
pub(super) fn hosts_away(brokers: &str) -> Vec<String> {
    let host = |address: &str| {
        let address = address.trim();
        host_and_port(address.split_once("://").map_or(address, |(_, rest)| rest)).0.to_owned()
    };
    brokers.split(',').map(host).filter(|host| !is_loopback(host)).collect()
}

/// Every property that a consumer of librdkafka 2.12 takes as text.
const CONSUMER: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "debug",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.metrics.push",
    "enable.partition.eof",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "https.ca.location",
    "https.ca.pem",
    "internal.termination.signal",
    "isolation.level",
    "log.connection.close",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.copy.max.bytes",
    "message.max.bytes",
    "metadata.broker.list",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "plugin.library.paths",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "topic.blacklist",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// Those that a producer alone takes.
const PRODUCER: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];
