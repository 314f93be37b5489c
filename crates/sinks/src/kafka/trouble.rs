//! Classifies Kafka errors for a sink: whether a retry can help, and whether the failed call may have taken effect.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sluicebox_core::secret::Pieces;
use sluicebox_core::shown::cut;
use sluicebox_core::{Blame, Certainty};

use crate::error::RemoteError;

/// What brokers do not tell apart from another run.
const TOO_SLOW: &str = ", or the batch took longer to send than 'kafka.transaction.timeout.ms'";

/// The error of `doing`, of which `certainty` tells whether it may have been done.
pub(super) fn of(doing: &str, error: &KafkaError, secrets: &Pieces, certainty: Certainty) -> RemoteError {
    let doing = doing.to_owned();
    let why = cut(&secrets.hide(&words(error)));
    match error.rdkafka_error_code() {
        Some(code) if is_fenced(code) => RemoteError::Fenced { doing, or: TOO_SLOW },
        code if is_refusal(error, code) => {
            let why = format!("{why}{}", way_out(code));
            RemoteError::Refused { doing, why, certainty, blame: Blame::User }
        }
        // Whatever else it is, opening the sink anew is the way out.
        _ => RemoteError::Away { doing, why, certainty },
    }
}

/// What librdkafka says, which for a transaction has more in it than the kind of error.
fn words(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        KafkaError::ClientConfig(_, why, key, _) => format!("'kafka.{key}' is not taken: {why}"),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

/// Whether another producer of the same transactional id has taken over.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(code, C::Fenced | C::ProducerFenced | C::InvalidProducerEpoch)
}

/// Whether the same call will be refused again.
fn is_refusal(error: &KafkaError, code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as C;
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_)) {
        return true;
    }
    matches!(
        code,
        Some(
            C::Authentication
                | C::SaslAuthenticationFailed
                | C::UnsupportedSASLMechanism
                | C::SSL
                | C::TopicAuthorizationFailed
                | C::GroupAuthorizationFailed
                | C::ClusterAuthorizationFailed
                | C::TransactionalIdAuthorizationFailed
                | C::UnknownTopic
                | C::UnknownTopicOrPartition
                | C::UnknownPartition
                | C::InvalidTopic
                | C::MessageSizeTooLarge
                | C::InvalidMessageSize
                | C::InvalidRecord
                | C::PolicyViolation
                | C::InvalidTransactionTimeout
        )
    )
}

/// What to do about a refusal.
fn way_out(code: Option<RDKafkaErrorCode>) -> &'static str {
    use RDKafkaErrorCode as C;
    match code {
        Some(C::UnknownTopic | C::UnknownTopicOrPartition | C::UnknownPartition) => {
            "; create the topic, which is not made by itself, or correct 'topic'"
        }
        Some(C::MessageSizeTooLarge) => {
            "; a row is larger than the topic takes: raise 'max.message.bytes' of the topic and 'kafka.message.max.bytes' here, or \
             select less"
        }
        Some(C::InvalidTransactionTimeout) => {
            "; 'kafka.transaction.timeout.ms' is more than the brokers' 'transaction.max.timeout.ms'"
        }
        Some(
            C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::TransactionalIdAuthorizationFailed,
        ) => {
            "; the user must be allowed to write to the topic, to read the group and to use the transactional id \
             'sluicebox-<query>-<generation>-<table>'"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_core::{Blamed, Retry};

    use super::*;

    fn of_code(code: RDKafkaErrorCode) -> RemoteError {
        of("publish batch 7", &KafkaError::Global(code), &Pieces::of(["secret-word"]), Certainty::Unknown)
    }

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_told_with_the_way_out() {
        use RDKafkaErrorCode as C;
        for passing in [C::AllBrokersDown, C::OperationTimedOut, C::CoordinatorNotAvailable, C::Fail] {
            let error = of_code(passing);
            assert_eq!((error.retry(), error.certainty()), (Retry::WithBackoff, Certainty::Unknown), "{error}");
        }
        let error = of_code(C::UnknownTopicOrPartition);
        assert_eq!((error.retry(), error.blame()), (Retry::No, Blame::User));
        assert!(error.to_string().contains("create the topic"), "{error}");
        for fenced in [C::Fenced, C::ProducerFenced, C::InvalidProducerEpoch] {
            assert!(matches!(of_code(fenced), RemoteError::Fenced { .. }));
        }
    }

    #[test]
    fn secrets_are_hidden_in_what_the_client_says() {
        let error = KafkaError::ClientCreation("cannot use secret-word here".to_owned());
        let said = of("open it", &error, &Pieces::of(["secret-word"]), Certainty::NotDone).to_string();
        assert!(!said.contains("secret-word"), "{said}");
    }
}
