//! MCP servers as `runyard.toml` spells them. Only the operator's file declares one: a command line is never a tenant's
//! to set.

use super::oauth::OauthConfig;
use crate::config::Setting;
use crate::limits;
use domain::tool::{Effect, Policy};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[mcp.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpConfig {
    /// A program that speaks MCP on its standard input and output.
    #[serde(default)]
    pub command: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    /// The program gets these and a few harmless ones (`PATH`, `HOME`, …), nothing else of the server's environment.
    #[serde(default)]
    pub env: BTreeMap<String, Setting>,
    /// Where the program runs; the data folder if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The address of a server that speaks streamable HTTP, instead of a program.
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, Setting>,
    /// A person logs in with OAuth, once for all orgs and once for each under `orgs`.
    #[serde(default)]
    pub oauth: Option<OauthConfig>,
    /// Credentials of single orgs, in place of those above.
    #[serde(default)]
    pub orgs: BTreeMap<String, OrgCredentials>,
    /// Only orgs with credentials of their own may call its tools.
    #[serde(default)]
    pub orgs_only: bool,
    #[serde(default)]
    pub protocol: Protocol,
    /// Only these of its tools, by the server's names; all if absent.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// What its tools do when repeated, where nothing says otherwise of one.
    #[serde(default)]
    pub effect: Option<Effect>,
    #[serde(default)]
    pub policy: Policy,
    /// Whether the server is believed where it says that a tool only reads, or may be repeated.
    #[serde(default)]
    pub trust_annotations: bool,
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    #[serde(default = "connect_timeout_s")]
    pub connect_timeout_s: f64,
    /// How often its list of tools is read again when it does not tell of changes.
    #[serde(default = "refresh_s")]
    pub refresh_s: f64,
    #[serde(default = "max_result_bytes")]
    pub max_result_bytes: usize,
    /// Bytes of one message of the server; a longer one is an error of the call that it answers.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: usize,
    /// Calls at once, of all its tools together.
    #[serde(default = "max_concurrency")]
    pub max_concurrency: usize,
}

/// `[mcp.NAME.orgs.ORG]`: added to the server's own, and in place of those of the same name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrgCredentials {
    pub env: BTreeMap<String, Setting>,
    pub headers: BTreeMap<String, Setting>,
}

/// Which of the protocol's two eras to speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// Asks the server.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// With a handshake: 2025-11-25 and before.
    #[serde(rename = "2025-11-25")]
    Legacy,
    /// Without one.
    #[serde(rename = "2026-07-28")]
    Modern,
}

/// `kind = "mcp"`: one tool of a server under a name and with settings of its own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpToolConfig {
    /// The name of a `[mcp.NAME]`.
    pub server: String,
    /// The server's name for it; that of the table if absent.
    #[serde(default)]
    pub tool: Option<String>,
}

fn timeout_s() -> f64 {
    limits::TIMEOUT_DEFAULT.as_secs_f64()
}

fn connect_timeout_s() -> f64 {
    limits::MCP_CONNECT_TIMEOUT.as_secs_f64()
}

fn refresh_s() -> f64 {
    limits::MCP_REFRESH.as_secs_f64()
}

fn max_result_bytes() -> usize {
    limits::RESULT_BYTES_DEFAULT
}

fn max_message_bytes() -> usize {
    limits::MCP_MESSAGE_BYTES_DEFAULT
}

fn max_concurrency() -> usize {
    limits::MCP_CONCURRENCY_DEFAULT
}
