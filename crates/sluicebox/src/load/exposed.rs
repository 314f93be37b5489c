//! Warns of passwords that a source or a table sends where others can read them on the way.

use sluicebox_pipeline::ast::{Pipeline, SourceDef, Span, Using};
use sluicebox_pipeline::diagnostic::Diagnostic;
use sluicebox_pipeline::kinds::SourceKind;
use sluicebox_registry::HttpOptions;

use super::connect::Connection;
use super::places::Places;
use super::target::Target;
use crate::connectors::{Home, Registries};

impl Connection {
    /// That a password or token goes where others can read it on the way, which runs and should be known.
    pub fn warnings(&self, source: &SourceDef) -> Vec<Diagnostic> {
        // What is wrong with the options is told where they are used.
        let http = match self.link.registries() {
            Registries::Embedded => None,
            Registries::Named | Registries::Either => self.http().ok().flatten(),
        };
        let hosts = self.link.exposed();
        if source.kind.value == SourceKind::KAFKA || hosts.is_empty() {
            return exposed(&self.places, source.name.span, http.as_ref(), &hosts);
        }
        let mut found = exposed(&self.places, source.name.span, http.as_ref(), &[]);
        found.push(of_added(source, &hosts));
        found
    }
}

/// The warning of a source of a kind that was added, whose password goes to `hosts` as it is.
fn of_added(source: &SourceDef, hosts: &[String]) -> Diagnostic {
    let name = &source.name.value;
    let message = format!(
        "the password or token for the source `{name}` goes to {} as it is, and can be read on the way",
        hosts.join(", ")
    );
    Diagnostic::warning("plain-connection", source.name.span, message, "not encrypted")
        .with_help("set the options that encrypt its connection")
}

/// The same of the tables that are written to Kafka.
pub(super) fn of_tables(pipeline: &Pipeline, home: &Home) -> Vec<Diagnostic> {
    let tables = pipeline.tables.iter().filter(|table| table.using() == Using::Kafka);
    let warnings = tables.flat_map(|table| {
        // What is wrong with the properties is told where they are used.
        let Ok(target) = Target::of(pipeline, table, home) else { return Vec::new() };
        let http = target.http().ok().flatten();
        exposed(&target.places, table.name.span, http.as_ref(), &target.exposed())
    });
    warnings.collect()
}

/// The warnings of what has its options in `places` and is called `name`.
fn exposed(places: &Places, name: Span, http: Option<&HttpOptions>, brokers: &[String]) -> Vec<Diagnostic> {
    let warning = |option: &str, message: String, help: &str| {
        let span = places.value_of(option).unwrap_or(name);
        Diagnostic::warning("plain-connection", span, message, "not encrypted").with_help(help)
    };
    let mut found = Vec::new();
    let registries: Vec<&str> = http.into_iter().flat_map(HttpOptions::exposed).collect();
    if !registries.is_empty() {
        let message = format!(
            "the password or token for the schema registry goes to {} over plain http, and can be read on the way",
            registries.join(", ")
        );
        found.push(warning("schema.registry.url", message, "write https://, and its port"));
    }
    if !brokers.is_empty() {
        let message = format!(
            "the password or token for Kafka goes to {} as it is, and can be read on the way",
            brokers.join(", ")
        );
        let help =
            "set 'kafka.security.protocol' = 'SASL_SSL', or take a mechanism that does not send it, as SCRAM-SHA-512";
        found.push(warning("kafka.security.protocol", message, help));
    }
    found
}
