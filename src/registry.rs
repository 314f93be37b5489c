//! `sluicebox registry`: the embedded schema registry, alone.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use sluicebox_avro::store::{RegistryStore, serve};

use crate::screen::say;

/// Serve the embedded schema registry: the Confluent REST API over durable files
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluicebox registry --listen 127.0.0.1:8081")]
pub struct RegistryArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: String,
    /// Folder of the registry
    #[arg(long, value_name = "DIR", default_value = "data/.log/registry")]
    dir: PathBuf,
}

/// Serves until Ctrl-C.
pub async fn registry(args: RegistryArgs) -> anyhow::Result<()> {
    let stop = crate::run::stop_signal();
    let store = RegistryStore::open(&args.dir)?;
    let listener = tokio::net::TcpListener::bind(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    say!("schema registry at http://{} over {}", listener.local_addr()?, args.dir.display());
    serve(listener, std::sync::Arc::new(store), stop).await?;
    Ok(())
}
