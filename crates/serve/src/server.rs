//! Accepts connections, and gives each its time limits.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::guard::guarded;
use crate::patience::Patient;
use crate::places::{Place, Places};
use crate::{Rule, Token};

/// What of a request's head, or of an answer, is held for one connection at most, in bytes.
const BUFFER: usize = 64 << 10;

/// Until connections are taken again after the system gave none, as when the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// All that is said to a client for whom there is no room.
const FULL: &str = "the server has as many connections as it takes: try again";

/// A server that cannot be opened. What can be retried is the user's to say: another address, or this one later.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The text is no address, or its name is not known.
    #[error("cannot listen on '{address}': write HOST:PORT, as in 127.0.0.1:8081")]
    NoAddress {
        /// As it was given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Other machines can reach the address, and nothing would be asked of them.
    #[error(
        "listening on {address} lets everybody who can reach this machine in: give a token, or listen on 127.0.0.1"
    )]
    Exposed {
        /// As it was given.
        address: String,
    },
    /// The system does not give the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// As it was given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A listener with a rule. There is no other way to serve: what the rule asks is asked of every request.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    rule: Arc<Rule>,
}

impl Server {
    /// Listens on `address`, `HOST:PORT`; port 0 is any that is free. Clients wait until [`Server::run`].
    ///
    /// # Errors
    /// When it is no address, when the system does not give it, or when other machines can reach it and `rule` has no token.
    pub async fn open(address: &str, rule: Rule) -> Result<Self, ServeError> {
        let given = || address.to_owned();
        let resolved = match lookup_host(address).await {
            Ok(found) => found.collect::<Vec<SocketAddr>>(),
            Err(source) => return Err(ServeError::NoAddress { address: given(), source }),
        };
        if !may_listen(&resolved, rule.token.as_ref()) {
            return Err(ServeError::Exposed { address: given() });
        }
        let refused = |source| ServeError::Listen { address: given(), source };
        let listener = TcpListener::bind(resolved.as_slice()).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, rule: Arc::new(rule) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether other machines may reach it.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !is_local(&self.address)
    }

    /// Serves `app` until `stop` is done and what was under way is answered, or its grace is over.
    pub async fn run(self, app: Router, stop: impl Future<Output = ()>) {
        let Self { listener, rule, .. } = self;
        let service = TowerToHyperService::new(guarded(app, &rule));
        let (stopping, stopped) = watch::channel(false);
        let (places, mut connections) = (Places::new(rule.connections), JoinSet::new());
        let mut gives = Gives::default();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, client)) => {
                    gives.one();
                    if let Some(place) = places.take(client.ip()) {
                        let of = (service.clone(), Arc::clone(&rule), stopped.clone());
                        connections.spawn(connection(stream, place, of));
                    } else {
                        tracing::debug!(%client, "turned away: it, or all, have as many connections as may be");
                        turn_away(stream);
                    }
                }
                Err(error) => {
                    if gives.none() {
                        tracing::warn!(%error, "cannot take connections; they wait until the system gives one");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let answered = async { while connections.join_next().await.is_some() {} };
        if timeout(rule.grace, answered).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// Whether the system gives connections: that it does not is told once.
#[derive(Debug, Default)]
struct Gives {
    told: bool,
    /// Given since then, one after the other.
    given: u32,
}

impl Gives {
    /// Connections after which the trouble is over: where files are short, one is free now and then.
    const ENOUGH: u32 = 64;

    /// It gave one.
    fn one(&mut self) {
        self.given = self.given.saturating_add(1);
        self.told &= self.given < Self::ENOUGH;
    }

    /// It gave none; whether that is to be told.
    fn none(&mut self) -> bool {
        self.given = 0;
        !std::mem::replace(&mut self.told, true)
    }
}

/// Whether a server may listen on all of `addresses`, to which a name may lead.
fn may_listen(addresses: &[SocketAddr], token: Option<&Token>) -> bool {
    token.is_some() || addresses.iter().all(is_local)
}

/// Whether only this machine reaches it.
fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Serves one client until it leaves, takes too long, or the server is stopped.
async fn connection(
    stream: TcpStream,
    _until_it_is_over: Place,
    (service, rule, mut stopped): (TowerToHyperService<Router>, Arc<Rule>, watch::Receiver<bool>),
) {
    // Without it small answers wait for what the client acknowledges; where it cannot be had, they do.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    // Who has said all that it will say waits for the answer.
    http.timer(TokioTimer::new()).header_read_timeout(rule.head).max_buf_size(BUFFER).half_close(true);
    let stream = TokioIo::new(Patient::new(stream, rule.answer));
    let mut connection = pin!(http.serve_connection(stream, service));
    // A client that breaks off, or is too slow, is told by its end alone.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => {}
        () = sleep(rule.age) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(rule.answer, connection).await;
}

/// Says to a client that there is no room, without waiting for it.
fn turn_away(stream: TcpStream) {
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{FULL}",
        FULL.len()
    );
    // So little fits into the buffer of a new connection. Where it does not, the client is told by the end alone.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use axum::response::IntoResponse;

    use super::*;

    fn rule(token: Option<Token>) -> Rule {
        Rule { token, ..Rule::new(|status, _| status.into_response()) }
    }

    #[test]
    fn that_the_system_gives_no_connection_is_told_once_until_it_gives_them_again() {
        let mut gives = Gives::default();
        gives.one();
        assert!(gives.none());
        for _ in 0..100 {
            gives.one();
            assert!(!gives.none(), "one now and then");
        }
        (0..Gives::ENOUGH).for_each(|_| gives.one());
        assert!(gives.none());
    }

    #[test]
    fn other_machines_are_let_in_with_a_token_alone() {
        let token = Token::new("t");
        for (addresses, local) in [
            (vec!["127.0.0.1:1"], true),
            (vec!["127.8.8.8:1", "[::1]:1"], true),
            (vec!["[::ffff:127.0.0.1]:1"], true),
            (vec!["0.0.0.0:1"], false),
            (vec!["[::]:1"], false),
            (vec!["10.0.0.1:1"], false),
            (vec!["[::1]:1", "10.0.0.1:1"], false),
        ] {
            let parsed: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(may_listen(&parsed, None), local, "{addresses:?}");
            assert!(may_listen(&parsed, token.as_ref()), "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn an_address_is_opened_or_said_to_be_wrong() {
        let refused = Server::open("0.0.0.0:0", rule(None)).await.unwrap_err();
        assert!(matches!(refused, ServeError::Exposed { .. }), "{refused}");
        assert!(Server::open("0.0.0.0:0", rule(Token::new("t"))).await.unwrap().is_exposed());
        let server = Server::open("127.0.0.1:0", rule(None)).await.unwrap();
        assert!(!server.is_exposed());
        let taken = Server::open(&server.address().to_string(), rule(None)).await.unwrap_err();
        assert!(matches!(taken, ServeError::Listen { .. }), "{taken}");
        for wrong in ["", "8081", "127.0.0.1", "127.0.0.1:80811"] {
            let refused = Server::open(wrong, rule(None)).await.unwrap_err();
            assert!(matches!(refused, ServeError::NoAddress { .. }), "{wrong}: {refused}");
        }
    }
}
