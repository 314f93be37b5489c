//! `sluicebox registry`: the embedded schema registry, alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sluicebox_durable::read_given_text;
use sluicebox_registry::store::{RegistryStore, failure, router};
use sluicebox_serve::{Rule, ServeError, Server, Token};

use crate::failure::Usage;
use crate::screen::say;

/// The variable that has the token where no file is named.
const TOKEN: &str = "SLUICEBOX_REGISTRY_TOKEN";

/// Serve the embedded schema registry: the Confluent REST API over durable files
#[derive(Debug, Args)]
#[command(after_help = "\
Every request must carry the token, if there is one: schema.registry.bearer.auth.token of a source, or the password of
schema.registry.basic.auth.user.info with any user. Without --token-file it is the value of SLUICEBOX_REGISTRY_TOKEN.
An address that other machines can reach needs one. It goes over plain http: for networks of others put TLS before it.

Examples:
  sluicebox registry --listen 127.0.0.1:8081
  sluicebox registry --listen 0.0.0.0:8081 --token-file /run/secrets/registry --host lake.example")]
pub struct RegistryArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: String,
    /// File with the token that requests must carry
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name by which clients call this machine, beside localhost and its addresses; for each name once
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Folder of the registry
    #[arg(long, value_name = "DIR", default_value = "data/.log/registry")]
    dir: PathBuf,
}

/// Serves until Ctrl-C.
pub async fn registry(args: RegistryArgs) -> anyhow::Result<()> {
    let mut stop = crate::run::stop_watch("stopping after the requests under way; press Ctrl-C again to stop now");
    let rule = Rule { hosts: args.hosts, token: token(args.token_file.as_deref())?, ..Rule::new(failure) };
    let server = Server::open(&args.listen, rule).await.map_err(|error| match error {
        ServeError::NoAddress { .. } => anyhow::Error::from(Usage(format!("--listen: {error}"))),
        ServeError::Exposed { address } => anyhow::Error::from(Usage(format!(
            "--listen {address}: everybody who can reach this machine could write schemas: name a file with a token by \
             --token-file, or listen on 127.0.0.1"
        ))),
        other => anyhow::Error::from(other),
    })?;
    let store = RegistryStore::open(&args.dir)?;
    let address = server.address();
    say!("schema registry at http://{address} over {}", args.dir.display());
    if server.is_exposed() {
        say!(
            "warning: other machines may reach {address}, and who has the token may write schemas; it goes over plain http, \
             where others on the way can read it: put TLS before it"
        );
    }
    server
        .run(router(Arc::new(store)), async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await;
    Ok(())
}

/// The token of `file`, else of the environment, if there is one. No message has it.
fn token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let (text, place) = match file {
        Some(path) => {
            let place = format!("--token-file {}", path.display());
            let text = read_given_text(path).map_err(|error| Usage(format!("{place} cannot be read: {error}")))?;
            (text, place)
        }
        None => match std::env::var(TOKEN).ok().filter(|text| !text.trim().is_empty()) {
            Some(text) => (text, TOKEN.to_owned()),
            None => return Ok(None),
        },
    };
    let unfit = || {
        Usage(format!(
            "{place}: this is no token: write one word of visible ASCII, such as `openssl rand -hex 32` gives"
        ))
    };
    Ok(Some(Token::new(&text).ok_or_else(unfit)?))
}
