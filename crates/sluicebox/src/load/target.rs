//! Reads the properties of a table, with the values of their references, and those of a table that is a topic.

use std::collections::BTreeMap;

use sluicebox_core::secret::{Pieces, may_be_secret};
use sluicebox_pipeline::ast::{Pipeline, TableDef};
use sluicebox_pipeline::values;
use sluicebox_registry::{HttpOptions, RegistryError};
use sluicebox_sources::{BROKERS_ENV, KAFKA_PREFIX, check_brokers, check_of_table, exposed_brokers};

use super::connect::resolved;
use super::places::Places;
use crate::connectors::{Home, is_told};
use crate::error::{Result, Usage};

/// The properties of `table` with what their references stand for, and their places.
///
/// # Errors
/// When a reference leads nowhere.
pub(super) fn properties_of(
    pipeline: &Pipeline,
    table: &TableDef,
    home: &Home,
) -> Result<(Places, BTreeMap<String, String>)> {
    let mut places = Places::of_table(pipeline, table);
    let mut pairs = BTreeMap::new();
    for (key, value) in &table.properties {
        let meant = resolved(&places, home, &key.value, &value.value)?;
        places.learn(&key.value, &meant);
        pairs.insert(key.value.clone(), meant);
    }
    Ok((places, pairs))
}

/// Where the rows of a table go that is a topic.
pub(super) struct Target {
    /// The properties' places.
    pub places: Places,
    pairs: BTreeMap<String, String>,
    home: Home,
    /// The brokers, `host:port,...`; none where the topic is in the embedded log.
    pub brokers: Option<String>,
    /// Those of the Kafka client, without `kafka.`.
    pub properties: BTreeMap<String, String>,
}

impl Target {
    /// That of `table`.
    ///
    /// # Errors
    /// When a reference leads nowhere, the Kafka client has no property of a name, or the brokers are no addresses.
    pub fn of(pipeline: &Pipeline, table: &TableDef, home: &Home) -> Result<Self> {
        let (places, pairs) = properties_of(pipeline, table, home)?;
        let name = &table.name.value;
        for option in pairs.keys() {
            if let Some(property) = option.strip_prefix(KAFKA_PREFIX) {
                check_of_table(name, option, property).map_err(|error| places.of_source(error))?;
            }
        }
        let kafka =
            pairs.iter().filter_map(|(key, value)| Some((key.strip_prefix(KAFKA_PREFIX)?.to_owned(), value.clone())));
        let mut properties: BTreeMap<String, String> = kafka.collect();
        let brokers = properties.remove("bootstrap.servers").or_else(|| home.variable(BROKERS_ENV));
        let brokers = brokers.filter(|brokers| !brokers.trim().is_empty());
        if let Some(brokers) = &brokers {
            check_brokers(brokers)
                .map_err(|why| Usage(format!("table `{name}`: the brokers are not addresses: {why}")))?;
        }
        Ok(Self { places, pairs, home: home.clone(), brokers, properties })
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.get(name).map(|value| value.trim())
    }

    /// The same in lower case, of one that is a word.
    pub fn word(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_lowercase)
    }

    /// The columns that a property names.
    pub fn columns(&self, name: &str) -> Vec<String> {
        self.get(name).map(|names| values::names(names).into_iter().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Whether values are Avro.
    pub fn is_avro(&self) -> bool {
        self.word("value.format").as_deref() == Some("avro")
    }

    /// How the registry is reached, if values have a schema and one is named. What a reference in its URL stands for is in no message.
    /// Without brokers it is the embedded one.
    pub fn http(&self) -> Result<Option<HttpOptions>, RegistryError> {
        if !self.is_avro() || self.brokers.is_none() {
            return Ok(None);
        }
        let mut http = HttpOptions::from_options(&self.pairs, |key| self.home.variable(key))?;
        if let Some(http) = http.as_mut().filter(|_| self.places.meant("schema.registry.url").next().is_some()) {
            http.call_by_hosts();
        }
        Ok(http)
    }

    /// What the Kafka client is not to tell.
    pub fn secrets(&self) -> Pieces {
        let hidden = self.properties.iter().filter(|(name, _)| may_be_secret(name)).map(|(_, value)| value.as_str());
        let referred = self.places.meant(KAFKA_PREFIX).filter(|(name, _)| !is_told(name)).map(|(_, meant)| meant);
        Pieces::of(hidden.chain(referred))
    }

    /// The hosts of brokers to which a password goes as it is.
    pub fn exposed(&self) -> Vec<String> {
        self.brokers.as_ref().map(|brokers| exposed_brokers(brokers, &self.properties)).unwrap_or_default()
    }
}
