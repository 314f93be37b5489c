//! A real broker and a real registry: those that the environment names, or servers of the soak's own, which end with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::scripts;

/// Where broker and registry are.
#[derive(Debug)]
pub struct Servers {
    /// `host:port`.
    pub brokers: String,
    /// The registry's URL.
    pub registry: String,
    /// The folder of those that were started here.
    own: Option<PathBuf>,
}

impl Servers {
    /// Those that the environment names; else new ones, below `folder`.
    pub fn up(folder: &Path) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        if let (Some(brokers), Some(registry)) = (env("KAFKA_BOOTSTRAP_SERVERS"), env("SCHEMA_REGISTRY_URL")) {
            return Ok(Self { brokers, registry, own: None });
        }
        let own = folder.join("servers");
        // Made before it is asked, so that a start that fails half-way is taken down too.
        let mut servers = Self { brokers: String::new(), registry: String::new(), own: Some(own.clone()) };
        let text = scripts::output(script(&own).arg("up"))?;
        let value = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).with_context(|| format!("scripts/servers.sh names no {name}"))
        };
        servers.brokers = value("KAFKA_BOOTSTRAP_SERVERS")?;
        servers.registry = value("SCHEMA_REGISTRY_URL")?;
        Ok(servers)
    }

    /// Sets what names them in the environment of `command`.
    pub fn name_in<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("KAFKA_BOOTSTRAP_SERVERS", &self.brokers).env("SCHEMA_REGISTRY_URL", &self.registry)
    }
}

fn script(folder: &Path) -> Command {
    let mut command = Command::new(scripts::file("scripts/servers.sh"));
    command.env("SLUICEBOX_SERVERS", folder);
    command
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some(folder) = &self.own
            && let Err(error) = scripts::output(script(folder).arg("down"))
        {
            eprintln!("the servers were not taken down: {error:#}");
        }
    }
}
