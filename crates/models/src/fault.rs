//! What went wrong with an attempt: told apart by what can be done about it, worded for a person, and without a
//! single character of the provider's text that was not checked. It does not retry.

use domain::failure::{Failure, FailureCode};
use std::time::Duration;

mod classify;

pub(crate) use classify::{of_body, of_status};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection.
    Connect {
        timed_out: bool,
    },
    /// Nothing came in the time for the first byte.
    FirstByte(Duration),
    /// Nothing more came.
    Stalled(Duration),
    /// The connection broke in mid-answer.
    Broken,
    /// The answer ended in order but without its terminal marker.
    Truncated,
    /// The answer is not in the form of its wire.
    Unreadable,
    /// Something that is not a model's API answered.
    NotApi {
        status: u16,
    },
    RateLimited {
        wait: Option<Duration>,
    },
    /// The provider failed or has no capacity.
    Provider {
        status: Option<u16>,
        wait: Option<Duration>,
        detail: Detail,
    },
    /// A spend or quota limit.
    Quota,
    /// The key, or what it may do.
    Auth {
        status: u16,
    },
    /// No such model, or no such path.
    NoModel {
        status: u16,
    },
    Context,
    TooLarge,
    /// The provider's filter.
    Filtered,
    /// The provider itself could not read the call that its model wrote.
    MalformedCall,
    /// The request was refused for another reason.
    Rejected {
        status: u16,
        detail: Detail,
    },
    /// Every place of the lane stayed taken.
    Full(Duration),
    /// The lane's settings make no request.
    Unusable,
    /// The provider asks for a longer pause than is waited for.
    Resting(Duration),
}

/// Words from a provider's error that look like identifiers (`invalid_request_error`, `temperature`): nothing else of
/// it is kept, because providers quote prompts and keys in their messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detail(pub(crate) Vec<String>);

/// What to do after a fault before the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Try the same lane again, after this or the usual pause.
    Again(Option<Duration>),
    /// The same request in the same lane would end the same way.
    NextLane,
}

impl Fault {
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::RateLimited { wait } | Self::Provider { wait, .. } => Remedy::Again(*wait),
            Self::Connect { .. }
            | Self::Broken
            | Self::Truncated
            | Self::Unreadable
            | Self::MalformedCall => Remedy::Again(None),
            // A second wait of the same length would double what the user waits.
            Self::FirstByte(_) | Self::Stalled(_) => Remedy::NextLane,
            Self::NotApi { .. }
            | Self::Quota
            | Self::Auth { .. }
            | Self::NoModel { .. }
            | Self::Context
            | Self::TooLarge
            | Self::Filtered
            | Self::Rejected { .. }
            | Self::Full(_)
            | Self::Unusable
            | Self::Resting(_) => Remedy::NextLane,
        }
    }

    /// Whether another attempt may succeed, as the engine asks after the first token.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::FirstByte(_)
                | Self::Stalled(_)
                | Self::Broken
                | Self::Truncated
                | Self::Unreadable
                | Self::RateLimited { .. }
                | Self::Provider { .. }
                | Self::MalformedCall
        )
    }

    /// Whether it says that the lane is ill. A refused request says nothing of that, and a rate limit is answered by a
    /// lane in good health.
    pub(crate) fn counts_against_lane(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::FirstByte(_)
            | Self::Stalled(_)
            | Self::Broken
            | Self::Truncated
            | Self::Unreadable
            | Self::NotApi { .. }
            | Self::Provider { .. }
            | Self::Quota
            | Self::Auth { .. }
            | Self::NoModel { .. } => true,
            Self::RateLimited { .. }
            | Self::Context
            | Self::TooLarge
            | Self::Filtered
            | Self::MalformedCall
            | Self::Rejected { .. }
            | Self::Full(_)
            | Self::Unusable
            | Self::Resting(_) => false,
        }
    }

    /// Without any word that the key is a part of, or that is a part of the key.
    pub(crate) fn without(mut self, key: Option<&str>) -> Self {
        if let (Some(key), Self::Provider { detail, .. } | Self::Rejected { detail, .. }) =
            (key, &mut self)
        {
            detail
                .0
                .retain(|word| !key.contains(word.as_str()) && !word.contains(key));
        }
        self
    }

    pub(crate) fn code(&self) -> FailureCode {
        match self {
            Self::Connect { .. }
            | Self::FirstByte(_)
            | Self::Stalled(_)
            | Self::Broken
            | Self::Truncated
            | Self::Unreadable
            | Self::NotApi { .. }
            | Self::RateLimited { .. }
            | Self::Provider { .. }
            | Self::NoModel { .. }
            | Self::Full(_)
            | Self::Unusable
            | Self::Resting(_) => FailureCode::ModelUnavailable,
            Self::Auth { .. } | Self::Filtered | Self::Rejected { .. } => {
                FailureCode::ModelRejected
            }
            Self::Quota => FailureCode::ModelQuotaExhausted,
            Self::Context => FailureCode::ContextOverflow,
            Self::TooLarge => FailureCode::OutputTooLarge,
            Self::MalformedCall => FailureCode::MalformedToolCalls,
        }
    }

    pub(crate) fn failure(&self, lane: &str, model: &str) -> Failure {
        Failure::new(self.code(), format!("lane {lane:?}: {}", self.words(model)))
    }

    /// What happened and what to check, for a person.
    pub(crate) fn words(&self, model: &str) -> String {
        match self {
            Self::Connect { timed_out: true } => {
                "no connection in time; check that the provider runs and that base_url is right"
                    .to_owned()
            }
            Self::Connect { timed_out: false } => {
                "cannot connect; check that the provider runs and that base_url is right".to_owned()
            }
            Self::FirstByte(wait) => format!("no answer within {}", seconds(*wait)),
            Self::Stalled(wait) => format!("the answer stopped for {}", seconds(*wait)),
            Self::Broken => "the connection broke in mid-answer".to_owned(),
            Self::Truncated => "the answer ended without its end marker".to_owned(),
            Self::Unreadable => "the answer is not in the form of this wire".to_owned(),
            Self::NotApi { status } => format!(
                "something else than the model's API answered (HTTP {status}); check base_url and wire"
            ),
            Self::RateLimited { wait: None } => "too many requests (429)".to_owned(),
            Self::RateLimited { wait: Some(wait) } => format!(
                "too many requests (429); the provider asks to wait {}",
                seconds(*wait)
            ),
            Self::Provider { status, detail, .. } => match status {
                Some(status) => format!("the provider failed (HTTP {status}{})", detail.listed()),
                None => format!("the provider failed in mid-answer{}", detail.bracketed()),
            },
            Self::Quota => {
                "the account's spend or quota limit is reached; raise it with the provider"
                    .to_owned()
            }
            Self::Auth { status } => format!(
                "the provider does not accept the key (HTTP {status}); check api_key_env and what the key may use"
            ),
            Self::NoModel { status } => format!(
                "the provider does not know the model {model:?} (HTTP {status}); check models and base_url"
            ),
            Self::Context => {
                format!("the conversation is longer than the model {model:?} can read")
            }
            Self::TooLarge => "the answer is larger than allowed".to_owned(),
            Self::Filtered => "the provider's content filter stopped the answer".to_owned(),
            Self::MalformedCall => "the model wrote a tool call that cannot be read".to_owned(),
            Self::Rejected { status, detail } => format!(
                "the provider refused the request (HTTP {status}{})",
                detail.listed()
            ),
            Self::Full(wait) => format!("every place stayed taken for {}", seconds(*wait)),
            Self::Unusable => {
                "its settings make no valid request; check base_url and the key".to_owned()
            }
            Self::Resting(wait) => {
                format!("the provider asked for a pause of {} more", seconds(*wait))
            }
        }
    }
}

impl Detail {
    /// Keeps the words that look like identifiers.
    pub(crate) fn new<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut kept: Vec<String> = Vec::new();
        for word in words {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'[' | b']');
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            // Keys have dashes or many digits, and are long; identifiers do not.
            let identifier =
                (1..=48).contains(&word.len()) && word.bytes().all(plain) && digits <= 4;
            if identifier && !kept.iter().any(|have| have == word) {
                kept.push(word.to_owned());
            }
        }
        Self(kept)
    }

    fn listed(&self) -> String {
        self.0.iter().map(|word| format!(", {word}")).collect()
    }

    fn bracketed(&self) -> String {
        if self.0.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.0.join(", "))
        }
    }
}

fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{} s", span.as_millis().div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests;
