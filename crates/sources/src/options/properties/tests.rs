#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use rdkafka::config::ClientConfig;
use sluicebox_core::secret::{is_secret, may_be_secret};

use super::*;

#[test]
fn librdkafka_knows_every_name_of_the_lists_and_no_other() {
    // A value that fits none of them: what is wrong then is the value, or else the name.
    let knows = |name: &str| match ClientConfig::new().set(name, "x").create_native_config() {
        Ok(_) => true,
        Err(error) => !error.to_string().contains("No such configuration property"),
    };
    for name in CONSUMER.iter().chain(PRODUCER) {
        assert!(knows(name), "{name}");
    }
    assert!(!knows("bootstrap.server"));
}

/// A property that comes with another librdkafka, and is a secret, is one here by its name, or is to be looked at.
#[test]
fn of_all_properties_these_are_secrets() {
    let secrets: Vec<&str> = CONSUMER.iter().copied().filter(|name| is_secret(name)).collect();
    let wanted = [
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
    ];
    assert_eq!(secrets, wanted);
    let hidden: Vec<&str> = CONSUMER.iter().copied().filter(|name| may_be_secret(name)).collect();
    assert_eq!(hidden, wanted, "and no other is hidden");
}

#[test]
fn a_name_that_is_not_known_is_refused_with_the_nearest() {
    let refused = |property: &str| check("s", &format!("kafka.{property}"), property).unwrap_err().to_string();
    let message = refused("sasl.mechanims");
    assert!(
        message.contains("'kafka.sasl.mechanims' is not known") && message.contains("'kafka.sasl.mechanism'"),
        "{message}"
    );
    assert!(refused("linger.ms").contains("producers"), "{}", refused("linger.ms"));
    assert!(refused("no.such.thing.at.all").contains("CONFIGURATION.md"));
    assert!(refused("auto.offset.reset").contains("startingOffsets"));
    check("s", "kafka.fetch.min.bytes", "fetch.min.bytes").unwrap();
}

#[test]
fn addresses_of_brokers_are_hosts_and_ports() {
    for good in ["b:9092", "b", "a:1, b:2", "[::1]:9092", "SSL://b:9093", "SASL_SSL://b:9093,c:9093", "10.0.0.1:9092"] {
        check_brokers(good).unwrap();
    }
    for (bad, says) in [
        ("http://127.0.0.1:19092", "write '127.0.0.1:19092'"),
        ("https://b:9092/x", "write 'b:9092'"),
        ("kafka://b:9092", "'kafka://' is no protocol"),
        ("b:port", "no port"),
        ("b:0", "no port"),
        ("b:70000", "no port"),
        (":9092", "no host"),
        ("a:1,,b:2", "empty"),
        ("us er@b:9092", "no host"),
    ] {
        let why = check_brokers(bad).unwrap_err();
        assert!(why.contains(says), "{bad}: {why}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let pair = |path: &str| [("ssl.ca.location".to_owned(), path.to_owned())];
    let check = |path: &str| check_files("s", pair(path).iter().map(|(k, v)| (k, v)));
    check("probe").unwrap();
    check("/").unwrap();
    let message = check("/no/such/ca.pem").unwrap_err().to_string();
    assert!(message.contains("'kafka.ssl.ca.location'") && message.contains("/no/such/ca.pem"), "{message}");
    // Whatever it is of: librdkafka calls all of them so.
    for name in CONSUMER.iter().filter(|name| name.ends_with(".location") || name.ends_with(".file")) {
        let (name, path) = ((*name).to_owned(), "/no/such/file".to_owned());
        let refused = check_files("s", [(&name, &path)]).unwrap_err().to_string();
        assert!(refused.contains(&format!("'kafka.{name}'")) && refused.contains(&path), "{name}: {refused}");
    }
}

#[test]
fn a_file_that_holds_something_else_is_told_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name).display().to_string()
    };
    let certificate = file("c.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let key = file("k.pem", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    let text = file("t.txt", "no certificate\n");
    let check = |property: &str, path: &str| {
        let pairs = [(property.to_owned(), path.to_owned())];
        check_files("s", pairs.iter().map(|(k, v)| (k, v))).map_err(|error| error.to_string())
    };
    for (property, right) in [
        ("ssl.ca.location", &certificate),
        ("https.ca.location", &certificate),
        ("ssl.certificate.location", &certificate),
        ("ssl.key.location", &key),
        ("sasl.oauthbearer.assertion.private.key.file", &key),
        ("sasl.oauthbearer.assertion.file", &text),
    ] {
        check(property, right).unwrap();
    }
    for (property, wrong, says) in [
        ("ssl.ca.location", &text, "is no PEM"),
        ("ssl.ca.location", &key, "holds a PRIVATE KEY and no CERTIFICATE"),
        ("https.ca.location", &text, "is no PEM"),
        ("ssl.certificate.location", &text, "is no PEM"),
        ("ssl.certificate.location", &"/".to_owned(), "is a folder"),
        ("ssl.key.location", &certificate, "holds a CERTIFICATE and no PRIVATE KEY"),
        ("ssl.crl.location", &certificate, "holds a CERTIFICATE and no X509 CRL"),
        ("ssl.keystore.location", &certificate, "is no keystore in PKCS#12"),
    ] {
        let message = check(property, wrong).unwrap_err();
        let named = message.contains(&format!("'kafka.{property}' is '{wrong}', which {says}"));
        assert!(named && message.contains("; name a "), "{message}");
    }
}
