//! Asks the brokers, again and again while they are unreachable, and keeps their answers about topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use sluicebox_core::{Clock, SystemClock};
use tokio::task::JoinError;

use super::client::{self, Client, Informant, Outage};
use crate::error::{Result, SourceError, is_passing};

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who asks. Clones ask through the same client.
#[derive(Clone)]
pub(super) struct Asker {
    pub source: String,
    pub brokers: String,
    pub client: Arc<Client>,
    pub outage: Arc<Outage>,
    pub informant: Arc<Informant>,
    /// How long brokers that do not answer are waited for; `None` for ever.
    pub give_up_after: Option<Duration>,
}

impl Asker {
    /// What `call` gives, asked again and again while the brokers are down.
    pub async fn ask<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl Fn(&Client) -> KafkaResult<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        let clock = SystemClock::new();
        let began = clock.monotonic();
        self.outage.is_asked();
        loop {
            let waited = clock.monotonic().saturating_sub(began);
            let answer = self.once(call.clone(), waited).await?;
            let took = clock.monotonic().saturating_sub(began).saturating_sub(waited).as_millis();
            match &answer {
                Ok(_) => tracing::debug!(source = %self.source, "the brokers were asked to {doing}: {took} ms"),
                Err(e) => tracing::debug!(source = %self.source, "the brokers were asked to {doing}: {took} ms, {e}"),
            }
            match answer {
                Ok(answer) => {
                    self.outage.is_over();
                    return Ok(answer);
                }
                Err(error) if is_passing(&error) => {
                    self.refuse_without_threads()?;
                    if let Some(refusal) = self.outage.refusal() {
                        let why = self.outage.trouble().map(|t| format!(" ({t})")).unwrap_or_default();
                        return Err(SourceError::kafka(format!("{doing} from {}{why}", self.brokers), refusal));
                    }
                    let waited = clock.monotonic().saturating_sub(began);
                    if self.give_up_after.is_some_and(|limit| waited >= limit) {
                        return Err(self.unreachable(doing, waited, &error.to_string()));
                    }
                    self.outage.begins(&error.to_string());
                    let left = self.give_up_after.map_or(pause, |limit| limit.saturating_sub(waited));
                    tokio::time::sleep(pause.min(left)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(SourceError::kafka(format!("{doing} from {}", self.brokers), error)),
            }
        }
    }

    /// What `call` gives, asked once; it has been waited for `waited` so far. librdkafka answers no sooner than after its own
    /// patience, so that whoever has less of it does not wait for the answer.
    async fn once<T: Send + 'static>(
        &self,
        call: impl Fn(&Client) -> KafkaResult<T> + Send + 'static,
        waited: Duration,
    ) -> Result<KafkaResult<T>> {
        let failed = |e: JoinError| SourceError::Internal { source_name: self.source.clone(), what: e.to_string() };
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = call(&client);
            client::drain(&client, answer.is_err());
            answer
        });
        let Some(limit) = self.give_up_after else { return asked.await.map_err(failed) };
        if let Ok(answer) = tokio::time::timeout(limit.saturating_sub(waited), asked).await {
            return answer.map_err(failed);
        }
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || client::drain(&client, true)).await.map_err(failed)?;
        Ok(Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut)))
    }

    fn refuse_without_threads(&self) -> Result<()> {
        match self.outage.lacks_thread() {
            Some(why) => Err(SourceError::Threads { source_name: self.source.clone(), why }),
            None => Ok(()),
        }
    }

    /// That the brokers were asked to do something for so long, in vain.
    pub fn unreachable(&self, doing: &str, waited: Duration, reason: &str) -> SourceError {
        SourceError::Unreachable {
            source_name: self.source.clone(),
            brokers: self.brokers.clone(),
            doing: doing.to_owned(),
            waited,
            reason: self.outage.trouble().unwrap_or_else(|| reason.to_owned()),
        }
    }

    /// Stops what waits for brokers that have been away for too long.
    ///
    /// # Errors
    /// [`SourceError::Unreachable`] when they have; [`SourceError::Threads`] when the system gave no thread to speak to one of
    /// them.
    pub fn give_up(&self, doing: &str) -> Result<()> {
        self.refuse_without_threads()?;
        match (self.outage.lasts(), self.give_up_after) {
            (Some(lasts), Some(limit)) if lasts > limit => Err(self.unreachable(doing, lasts, "they do not answer")),
            _ => Ok(()),
        }
    }

    /// The ids that the topics `names` have now; one that is gone, or has none, is left out.
    pub async fn ids_now(&self, names: BTreeSet<String>) -> Result<BTreeMap<String, String>> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let informant = Arc::clone(&self.informant);
        self.ask("learn the topics' ids", move |client| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            informant.topic_ids(client, &names)
        })
        .await
    }

    /// Makes sure that the topics of `known` still have these ids. One that is gone is not another one: what was fetched
    /// of it is its own.
    pub async fn check_ids(self, known: BTreeMap<String, String>) -> Result<()> {
        for (topic, now) in self.ids_now(known.keys().cloned().collect()).await? {
            match known.get(&topic) {
                Some(before) if *before != now => {
                    let (source_name, before) = (self.source, before.clone());
                    return Err(SourceError::MadeAnew { source_name, topic, before, now });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
