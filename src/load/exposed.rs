//! What a source sends that others can read on the way.

use sluicebox_pipeline::ast::SourceDef;
use sluicebox_pipeline::diagnostic::Diagnostic;
use sluicebox_registry::HttpOptions;

use super::connect::Connection;

impl Connection {
    /// That a password or token goes where others can read it on the way, which runs and should be known.
    pub fn warnings(&self, source: &SourceDef) -> Vec<Diagnostic> {
        if self.options.brokers.is_none() {
            return Vec::new();
        }
        let warning = |option: &str, message: String, help: &str| {
            let span = self.places.value_of(option).unwrap_or(source.name.span);
            Diagnostic::warning("plain-connection", span, message, "not encrypted").with_help(help)
        };
        // What is wrong with the options is told where they are used.
        let http = self.http().ok().flatten();
        let exposed: Vec<&str> = http.iter().flat_map(HttpOptions::exposed).collect();
        let mut found = Vec::new();
        if !exposed.is_empty() {
            let message = format!(
                "the password or token for the schema registry goes to {} over plain http, and can be read on the way",
                exposed.join(", ")
            );
            found.push(warning("schema.registry.url", message, "write https://, and its port"));
        }
        let exposed = self.options.exposed();
        if !exposed.is_empty() {
            let message = format!(
                "the password or token for Kafka goes to {} as it is, and can be read on the way",
                exposed.join(", ")
            );
            let help = "set 'kafka.security.protocol' = 'SASL_SSL', or take a mechanism that does not send it, as SCRAM-SHA-512";
            found.push(warning("kafka.security.protocol", message, help));
        }
        found
    }
}
