//! A lane's settings as plain values: what is read, what is refused, what is assumed. It reads no file and no
//! environment, and never prints a key.

use domain::lane::{DeviceNeeds, LaneKind};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

#[cfg(test)]
mod tests;

/// The language that a lane's provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// OpenAI chat completions, and the many servers that copy it.
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
    Gemini,
    /// Ollama's own API.
    Ollama,
    /// The built-in stand-in, which is no language model.
    Offline,
}

/// One lane of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneConfig {
    /// Unique; 1–64 characters of `a-z A-Z 0-9 - _ .`.
    pub name: String,
    pub kind: LaneKind,
    /// Needed except for `device` lanes, whose model this server never calls.
    #[serde(default)]
    pub wire: Option<Wire>,
    /// Where the provider's API begins; the provider's own address if absent.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The environment variable that holds the key. Read by the caller, see [`LaneConfig::resolve_key`].
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Not read from files: a key in a configuration file ends in a repository.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Models it serves, the preferred first. A name ending in `*` stands for every name that begins so, and is never
    /// chosen by itself. Empty means any name.
    #[serde(default)]
    pub models: Vec<String>,
    /// A share of the traffic among lanes that have one and serve the same model; lanes without go by order.
    #[serde(default)]
    pub weight: Option<u32>,
    /// What the client's device must have; for `device` lanes.
    #[serde(default)]
    pub requires: DeviceNeeds,
    /// Turns at once; more wait in line.
    #[serde(default)]
    pub max_concurrency: Option<usize>,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub price: Price,
    #[serde(default)]
    pub retries: Retries,
    /// Fields added to each request's body as they are, for what only this provider knows (`{"reasoning_effort":
    /// "low"}`). They win over the fields of the same name that are optional here.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
}

/// Three waits that fail for different reasons, each with its own limit, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Name, TCP and TLS.
    pub connect_ms: u64,
    /// From sending until the first byte of the body; a local model reads the whole prompt in this time.
    pub first_byte_ms: u64,
    /// Between two reads of the body.
    pub between_chunks_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            first_byte_ms: 60_000,
            between_chunks_ms: 30_000,
        }
    }
}

impl Timeouts {
    pub(crate) fn connect(self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    pub(crate) fn first_byte(self) -> Duration {
        Duration::from_millis(self.first_byte_ms)
    }

    pub(crate) fn between_chunks(self) -> Duration {
        Duration::from_millis(self.between_chunks_ms)
    }
}

/// Millionths of a US dollar for a million tokens: 2.50 dollars are 2,500,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    pub input_micro_usd: u64,
    /// Input that the provider had in its cache; as other input if absent.
    pub cached_micro_usd: Option<u64>,
    /// Input that the provider put in its cache; as other input if absent.
    pub cache_write_micro_usd: Option<u64>,
    pub output_micro_usd: u64,
}

impl Price {
    /// Millionths of a dollar, if nothing is cheaper by being cached.
    pub fn at_most(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let dearer = self.cache_write_micro_usd.unwrap_or(0);
        let input = self.input_micro_usd.max(dearer);
        let cost = u128::from(input_tokens) * u128::from(input)
            + u128::from(output_tokens) * u128::from(self.output_micro_usd);
        u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// How often a lane is tried before the first token of a turn, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Tries of one turn in this lane, the first included.
    pub attempts: u32,
    /// The wait before the second try is random up to this; it doubles with each try.
    pub base_ms: u64,
    /// Where the doubling ends.
    pub max_ms: u64,
    /// The longest `Retry-After` that is waited for. A longer one sends the turn to the next lane.
    pub retry_after_max_ms: u64,
    /// How long a turn stands in line for a place in a full lane.
    pub queue_ms: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            base_ms: 500,
            max_ms: 8_000,
            retry_after_max_ms: 30_000,
            queue_ms: 30_000,
        }
    }
}

impl Retries {
    pub(crate) fn retry_after_max(self) -> Duration {
        Duration::from_millis(self.retry_after_max_ms)
    }

    pub(crate) fn queue(self) -> Duration {
        Duration::from_millis(self.queue_ms)
    }
}

/// Settings that cannot work. The text says what to change; it never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("lane {lane:?}: a name has 1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'")]
    Name { lane: String },
    #[error("lane {lane:?} is configured twice; rename one")]
    Duplicate { lane: String },
    #[error(
        "lane {lane:?}: base_url must be an http or https address without a user name, a query or a fragment"
    )]
    BaseUrl { lane: String },
    #[error(
        "lane {lane:?}: wire is missing: openai-chat, openai-responses, anthropic, gemini, ollama or offline"
    )]
    NoWire { lane: String },
    #[error("lane {lane:?}: {field} must be at least 1")]
    Zero { lane: String, field: &'static str },
    #[error("lane {lane:?}: requires is for lanes of kind device")]
    Requires { lane: String },
    #[error("lane {lane:?}: models must not be blank or longer than 256 bytes")]
    Model { lane: String },
    #[error(
        "lane {lane:?}: the key has a character that no HTTP header can carry; is there a line break in it?"
    )]
    Key { lane: String },
    #[error("lane {lane:?}: the environment variable {variable} is not set or empty")]
    KeyMissing { lane: String, variable: String },
    #[error("lane {lane:?}: extra_body may not set {field:?}, which is written for every request")]
    ExtraBody { lane: String, field: String },
    #[error(
        "no HTTP client: install a TLS provider before, and check that the system's certificates are readable"
    )]
    Client,
}

/// Fields of a request's body that are ours on some wire.
const OWN_FIELDS: [&str; 9] = [
    "model",
    "messages",
    "input",
    "contents",
    "stream",
    "system",
    "systemInstruction",
    "instructions",
    "tools",
];

impl LaneConfig {
    /// A lane with every setting at its default.
    pub fn new(name: impl Into<String>, kind: LaneKind, wire: Wire) -> Self {
        Self {
            name: name.into(),
            kind,
            wire: Some(wire),
            base_url: None,
            api_key_env: None,
            api_key: None,
            models: Vec::new(),
            weight: None,
            requires: DeviceNeeds::default(),
            max_concurrency: None,
            timeouts: Timeouts::default(),
            price: Price::default(),
            retries: Retries::default(),
            extra_body: Map::new(),
        }
    }

    /// The built-in stand-in for a first run without any provider.
    pub fn offline() -> Self {
        let mut lane = Self::new("offline", LaneKind::Local, Wire::Offline);
        lane.models = vec![crate::offline::MODEL.to_owned(), "*".to_owned()];
        lane
    }

    /// Fills the key from the variable that `api_key_env` names. `lookup` is the caller's, because only the caller may
    /// read the environment.
    pub fn resolve_key(
        &mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let Some(variable) = &self.api_key_env else {
            return Ok(());
        };
        let key = lookup(variable).map(|key| key.trim().to_owned());
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Err(ConfigError::KeyMissing {
                lane: self.name.clone(),
                variable: variable.clone(),
            });
        };
        self.api_key = Some(SecretString::from(key));
        Ok(())
    }

    /// Whether these settings can work at all; the provider is not asked.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let lane = || self.name.clone();
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(word) {
            return Err(ConfigError::Name { lane: lane() });
        }
        let zero = |field| ConfigError::Zero {
            lane: lane(),
            field,
        };
        if self.max_concurrency == Some(0) {
            return Err(zero("max_concurrency"));
        }
        if self.retries.attempts == 0 {
            return Err(zero("retries.attempts"));
        }
        let Timeouts {
            connect_ms,
            first_byte_ms,
            between_chunks_ms,
        } = self.timeouts;
        if connect_ms == 0 || first_byte_ms == 0 || between_chunks_ms == 0 {
            return Err(zero("timeouts"));
        }
        let fits = |model: &String| !model.trim().is_empty() && model.len() <= 256;
        if !self.models.iter().all(fits) {
            return Err(ConfigError::Model { lane: lane() });
        }
        if self.kind != LaneKind::Device && self.requires != DeviceNeeds::default() {
            return Err(ConfigError::Requires { lane: lane() });
        }
        let own = |field: &&String| OWN_FIELDS.contains(&field.as_str());
        if let Some(field) = self.extra_body.keys().find(own) {
            return Err(ConfigError::ExtraBody {
                lane: lane(),
                field: field.clone(),
            });
        }
        match (self.wire, self.kind) {
            (None, LaneKind::Device) | (Some(Wire::Offline), _) => Ok(()),
            (None, LaneKind::Local | LaneKind::Cloud) => Err(ConfigError::NoWire { lane: lane() }),
            (Some(_), _) => self.endpoint().map(drop),
        }
    }

    /// The address where the provider's API begins, its path without a slash at the end.
    pub(crate) fn endpoint(&self) -> Result<Url, ConfigError> {
        let bad = || ConfigError::BaseUrl {
            lane: self.name.clone(),
        };
        let own = self.wire.and_then(Wire::default_base_url);
        let text = self.base_url.as_deref().or(own).ok_or_else(bad)?;
        let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|_| bad())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(url) } else { Err(bad()) }
    }

    /// Names that are models, without the patterns.
    pub(crate) fn exact_models(&self) -> impl Iterator<Item = &String> {
        self.models.iter().filter(|model| !model.ends_with('*'))
    }

    /// Whether a model of this name may be asked for.
    pub(crate) fn serves(&self, model: &str) -> bool {
        self.models.is_empty()
            || self
                .models
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(beginning) => model.starts_with(beginning),
                    None => pattern == model,
                })
    }
}

impl Wire {
    /// As configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Offline => "offline",
        }
    }

    /// The provider's own address.
    pub(crate) fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenaiChat | Self::OpenaiResponses => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Offline => None,
        }
    }
}
