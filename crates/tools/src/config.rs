//! Tools, databases and egress rules as `runyard.toml` spells them. It does not know where the file is or what the
//! environment holds: `{ env = "NAME" }` is looked up by whoever builds the gateway.

use crate::limits;
use crate::mcp::McpToolConfig;
use crate::probe::Probe;
use domain::approval::AskOptions;
use domain::policy::Labels;
use domain::tool::{Effect, Policy};
use secrecy::SecretString;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The tables `[tools.NAME]`, by name. A message about one of them names it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolConfigs(pub BTreeMap<String, ToolConfig>);

/// One `[tools.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolConfig {
    pub common: Common,
    pub kind: Kind,
}

/// Settings of every kind of tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Common {
    #[serde(default)]
    pub description: String,
    /// `None` is `unsafe`, or what a builtin is.
    #[serde(default)]
    pub effect: Option<Effect>,
    #[serde(default)]
    pub policy: Policy,
    /// What an approver is told of the danger, instead of a sentence made from the effect.
    #[serde(default)]
    pub risk: Option<String>,
    /// What the tool touches; `None` is what is usual for its kind and effect.
    #[serde(default)]
    pub labels: Option<Labels>,
    /// How approvals of its calls are decided.
    #[serde(default)]
    pub approval: AskOptions,
    /// How to find out what became of a call whose answer was lost.
    #[serde(default)]
    pub probe: Option<Probe>,
    #[serde(default)]
    pub input_schema: Option<Map<String, Value>>,
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    #[serde(default = "max_result_bytes")]
    pub max_result_bytes: usize,
    #[serde(default = "max_concurrency")]
    pub max_concurrency: usize,
}

/// What executes a tool. Another kind is a variant here, a file of its own, and an arm where tools are built.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Sql(SqlConfig),
    Http(HttpConfig),
    Mcp(McpToolConfig),
    Builtin(BuiltinConfig),
}

/// `kind = "sql"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// The name of a `[databases.NAME]`.
    pub database: String,
    /// One statement or several, run in one transaction; the rows of the last are the result.
    pub sql: Statements,
    #[serde(default)]
    pub returns: Returns,
    /// Without it the database itself refuses every write.
    #[serde(default)]
    pub writes: bool,
    #[serde(default = "max_rows")]
    pub max_rows: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Statements {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// `{"rows": […], "row_count": n}`.
    #[default]
    Rows,
    /// The first row alone; no row is an error.
    Row,
}

/// `[databases.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://…`, or the path of a SQLite file with or without `sqlite:` in front.
    pub url: Setting,
    #[serde(default = "yes")]
    pub read_only: bool,
}

/// `kind = "http"`. Names in braces are replaced by arguments; `{{` and `}}` stand for braces.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    #[serde(default = "get")]
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, Setting>,
    /// JSON; a string that is one name in braces becomes that argument's whole value.
    #[serde(default)]
    pub body: Option<Value>,
    /// Redirects to follow, each checked like the first address. Only for GET and HEAD.
    #[serde(default)]
    pub redirects: usize,
}

/// `kind = "builtin"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinConfig {
    /// Which one, if the tool has another name.
    #[serde(default)]
    pub builtin: Option<String>,
}

/// `[egress]`: where tools may connect to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Host names, `*.example.com` for those below one; empty allows every public host.
    pub allow_hosts: Vec<String>,
    /// Addresses that are not public but allowed: `127.0.0.1:9000`, `[::1]:9000`, `10.0.0.0/8`.
    pub allow_private: Vec<String>,
}

/// A value, or the name of an environment variable that holds it.
#[derive(Clone, PartialEq)]
pub enum Setting {
    Literal(String),
    Env {
        env: String,
        /// Put before the variable's value, e.g. `Bearer `.
        prefix: String,
    },
}

impl Setting {
    /// The value; the name of the variable if that is not set.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, String> {
        match self {
            Self::Literal(text) => Ok(SecretString::from(text.as_str())),
            Self::Env { env: name, prefix } => match env(name) {
                Some(value) => Ok(SecretString::from(format!("{prefix}{value}"))),
                None => Err(name.clone()),
            },
        }
    }
}

impl Setting {
    /// What it is, without what the environment holds.
    pub(crate) fn identity(&self) -> Value {
        match self {
            Self::Literal(text) => json!(text),
            Self::Env { env, prefix } => json!({ "env": env, "prefix": prefix }),
        }
    }
}

impl fmt::Debug for Setting {
    /// A literal may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(..)"),
            Self::Env { env, .. } => write!(f, "Env({env})"),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Env {
            env: String,
            #[serde(default)]
            prefix: String,
        }
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Literal(text)),
            table @ Value::Object(_) => {
                let Env { env, prefix } = serde_json::from_value(table).map_err(Error::custom)?;
                Ok(Self::Env { env, prefix })
            }
            _ => Err(Error::custom("expected text or `{ env = \"NAME\" }`")),
        }
    }
}

/// The settings that every kind has; the rest of a table belongs to its kind.
const COMMON: [&str; 11] = [
    "description",
    "effect",
    "policy",
    "risk",
    "labels",
    "approval",
    "probe",
    "input_schema",
    "timeout_s",
    "max_result_bytes",
    "max_concurrency",
];

impl<'de> Deserialize<'de> for ToolConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Map::<String, Value>::deserialize(deserializer)?;
        let mut common = Map::new();
        for setting in COMMON {
            if let Some(value) = own.remove(setting) {
                common.insert(setting.to_owned(), value);
            }
        }
        let kind = own.remove("kind");
        let common = of::<Common, D::Error>(common)?;
        let kind = match kind.as_ref().and_then(Value::as_str) {
            Some("sql") => Kind::Sql(of(own)?),
            Some("http") => Kind::Http(of(own)?),
            Some("mcp") => Kind::Mcp(of(own)?),
            Some("builtin") => Kind::Builtin(of(own)?),
            Some(other) => {
                return Err(Error::custom(format_args!(
                    "unknown kind `{other}`, expected one of `sql`, `http`, `mcp`, `builtin`"
                )));
            }
            None => return Err(Error::missing_field("kind")),
        };
        Ok(Self { common, kind })
    }
}

fn of<T: serde::de::DeserializeOwned, E: Error>(table: Map<String, Value>) -> Result<T, E> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        match error.path().to_string().as_str() {
            "." => E::custom(error.inner()),
            setting => E::custom(format_args!("`{setting}`: {}", error.inner())),
        }
    })
}

impl<'de> Deserialize<'de> for ToolConfigs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;
        impl<'de> Visitor<'de> for Tables {
            type Value = ToolConfigs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tools")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ToolConfigs, A::Error> {
                let mut tools = BTreeMap::new();
                while let Some((name, table)) = map.next_entry::<String, Value>()? {
                    let tool = ToolConfig::deserialize(table)
                        .map_err(|error| Error::custom(format_args!("tool `{name}`: {error}")))?;
                    tools.insert(name, tool);
                }
                Ok(ToolConfigs(tools))
            }
        }
        deserializer.deserialize_map(Tables)
    }
}

fn timeout_s() -> f64 {
    limits::TIMEOUT_DEFAULT.as_secs_f64()
}

fn max_result_bytes() -> usize {
    limits::RESULT_BYTES_DEFAULT
}

fn max_concurrency() -> usize {
    limits::CONCURRENCY_DEFAULT
}

fn max_rows() -> usize {
    limits::ROWS_DEFAULT
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}
