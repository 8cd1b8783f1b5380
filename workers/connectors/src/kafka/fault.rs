//! What went wrong, in words and with a remedy. Texts of the client library are passed on: they name brokers, never secrets.

use headrace_core::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Turns an error code of the client library into an error; `doing` says what was tried and names the thing.
pub(super) fn explain(doing: &str, code: Code, reason: &str) -> Error {
    let reason = if reason.is_empty() { code.to_string() } else { reason.to_owned() };
    let remedy = match code {
        Code::Authentication | Code::SaslAuthenticationFailed => "the login was refused: check user, password and sasl",
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            "the broker does not offer this login: check sasl and tls"
        }
        Code::SSL => {
            "no trusted TLS connection: check that the port speaks TLS and give its authority with tls_ca=FILE"
        }
        Code::Resolve => "no such host: check the host name in the URL",
        Code::TopicAuthorizationFailed => "the user may not use this topic: ask for the right (ACL) to it",
        Code::GroupAuthorizationFailed => "the user may not use this group: ask for the right (ACL) to it",
        Code::ClusterAuthorizationFailed => "the user may not do this: ask for the right (ACL) to it",
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "there is no such topic any more: check its name, or create it"
        }
        Code::InvalidReplicationFactor => "check the option replication against the number of brokers",
        Code::InvalidTopic | Code::InvalidPartitions | Code::InvalidConfig | Code::PolicyViolation => {
            "the broker refuses the settings"
        }
        Code::InvalidGroupId | Code::InconsistentGroupProtocol => {
            "the group is used by another kind of consumer: choose another group, or the same group_protocol everywhere"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            return Error::data(format!(
                "{doing}: a message is larger than the topic allows; raise its max.message.bytes ({reason})"
            ));
        }
        _ => return Error::external(doing, reason),
    };
    Error::configuration(format!("{doing}: {remedy} ({reason})"))
}

/// Turns an error of the client library into an error.
pub(super) fn from_kafka(doing: &str, error: &KafkaError) -> Error {
    match error {
        // The value of a refused setting may be a secret, so only its name is told.
        KafkaError::ClientConfig(_, reason, name, _) => {
            Error::configuration(format!("{doing}: setting {name}: {reason}"))
        }
        KafkaError::ClientCreation(reason) => Error::configuration(format!("{doing}: {reason}")),
        error => match error.rdkafka_error_code() {
            Some(code) => explain(doing, code, ""),
            None => Error::external(doing, error.to_string()),
        },
    }
}

/// Tells whether a code means that the set-up is wrong when it comes at the first contact. Later it may be a passing
/// state of a restarting broker.
pub(super) fn is_set_up(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism | Code::SSL)
}

/// Tells whether asking again may help.
pub(super) fn is_passing(code: Code) -> bool {
    explain("", code, "").is_retryable() || code == Code::Resolve
}

/// The error of a topic that is not there.
pub(super) fn missing_topic(topic: &str, place: &str) -> Error {
    Error::configuration(format!(
        "there is no topic `{topic}` on {place}: check its name, or create it by filling it first"
    ))
}

/// The error of a position whose messages were removed.
pub(super) fn removed(topic: &str, partition: i32, position: i64, first: i64) -> Error {
    Error::data(format!(
        "messages were removed by retention before they were read: partition {partition} of topic `{topic}` begins at offset {first}, \
         reading stands at {position}, {} offsets are gone; fill the topic again, or start over in a new scope",
        first - position
    ))
}

/// The error of a position that the topic has not reached.
pub(super) fn beyond(topic: &str, partition: i32, position: i64, end: i64) -> Error {
    Error::data(format!(
        "partition {partition} of topic `{topic}` ends at offset {end}, but reading stands at {position}: it is not the topic that was read \
         before (removed and created again?); start over in a new scope"
    ))
}
