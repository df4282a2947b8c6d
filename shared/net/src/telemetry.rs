//! Logs: JSON on stderr (text on a terminal), and the names of fields that are said in more than one place.

use std::io::{self, IsTerminal as _};
use std::str::FromStr as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// The target of the one event per operation, written when it closes.
pub const ACCESS: &str = "access";

/// Names of the fields of the [`ACCESS`] event.
pub mod field {
    /// Operation id.
    pub const OPERATION_ID: &str = "operation.id";
    /// Session id.
    pub const SESSION_ID: &str = "session.id";
    /// Issuer of the runner's identity.
    pub const IDENTITY_ISSUER: &str = "identity.issuer";
    /// Subject of the runner's identity.
    pub const IDENTITY_SUBJECT: &str = "identity.subject";
    /// RBAC verb.
    pub const VERB: &str = "verb";
    /// API group.
    pub const GROUP: &str = "group";
    /// Resource.
    pub const RESOURCE: &str = "resource";
    /// Subresource.
    pub const SUBRESOURCE: &str = "subresource";
    /// Namespace.
    pub const NAMESPACE: &str = "namespace";
    /// Name of the object.
    pub const NAME: &str = "name";
    /// allow, hold or deny.
    pub const DECISION: &str = "decision";
    /// The rule that decided.
    pub const RULE: &str = "rule";
    /// Risk score.
    pub const RISK: &str = "risk";
    /// Who approved.
    pub const APPROVER: &str = "approver";
    /// Grant id.
    pub const GRANT_ID: &str = "grant.id";
    /// Agent id.
    pub const AGENT_ID: &str = "agent.id";
    /// HTTP status that the client got.
    pub const STATUS: &str = "status";
    /// Bytes of the request body.
    pub const BYTES_IN: &str = "bytes_in";
    /// Bytes of the response body.
    pub const BYTES_OUT: &str = "bytes_out";
    /// Milliseconds that the operation waited for people.
    pub const WAIT_MS: &str = "wait_ms";
    /// Milliseconds of the exchange with the agent.
    pub const UPSTREAM_MS: &str = "upstream_ms";
    /// Milliseconds in all.
    pub const TOTAL_MS: &str = "total_ms";
    /// ok, error, unknown or not_sent.
    pub const OUTCOME: &str = "outcome";

    /// All of them. A test compares them with what is written.
    pub const ALL: [&str; 23] = [
        OPERATION_ID,
        SESSION_ID,
        IDENTITY_ISSUER,
        IDENTITY_SUBJECT,
        VERB,
        GROUP,
        RESOURCE,
        SUBRESOURCE,
        NAMESPACE,
        NAME,
        DECISION,
        RULE,
        RISK,
        APPROVER,
        GRANT_ID,
        AGENT_ID,
        STATUS,
        BYTES_IN,
        BYTES_OUT,
        WAIT_MS,
        UPSTREAM_MS,
        TOTAL_MS,
        OUTCOME,
    ];
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
    /// Text on a terminal, else JSON.
    Auto,
}

/// Which events are written, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    format: Format,
    filter: Targets,
}

/// A log filter that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log filter; write for example info, or info,access=off, or warn,sallyport=debug")]
pub struct NotAFilter(String);

impl LogConfig {
    /// Reads a filter: a level, or a list of `target=level`.
    ///
    /// # Errors
    /// [`NotAFilter`].
    pub fn parse(filter: &str, format: Format) -> Result<Self, NotAFilter> {
        // Unknown words would be taken for targets at full detail; a level is what was meant.
        let known = |part: &str| {
            let level = part.rsplit('=').next().unwrap_or(part);
            matches!(level, "off" | "error" | "warn" | "info" | "debug" | "trace")
        };
        if !filter.split(',').all(known) {
            return Err(NotAFilter(filter.to_owned()));
        }
        let filter = Targets::from_str(filter).map_err(|_| NotAFilter(filter.to_owned()))?;
        Ok(Self { format, filter })
    }
}

/// Starts logging to stderr. Once per process.
///
/// # Errors
/// It was started before.
pub fn init(config: &LogConfig) -> Result<(), TryInitError> {
    let json = match config.format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(config.filter.clone());
    if json {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(io::stderr);
        registry.with(layer).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().with_writer(io::stderr)).try_init()
    }
}

/// The one event for a peer that was refused before its request could be understood. `why` is a closed word, never a peer's text.
pub fn early_refusal(peer: &dyn std::fmt::Display, why: &'static str) {
    tracing::info!(%peer, why, "early refusal");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_levels() {
        for right in ["info", "off", "info,access=off", "warn,sallyport=debug,quinn=off"] {
            assert!(LogConfig::parse(right, Format::Auto).is_ok(), "{right}");
        }
        for wrong in ["", "loud", "info,", "access=", "info;debug"] {
            assert!(LogConfig::parse(wrong, Format::Auto).is_err(), "{wrong}");
        }
    }
}
