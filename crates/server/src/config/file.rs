//! The shape of `runyard.toml`, with the line of every value. It does not know what the values mean.

use super::policy::PolicyTable;
use super::webhooks::WebhookTable;
use super::{ConfigError, OrgTable};
use domain::approval::AskOptions;
use models::{LaneConfig, RouterSettings};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Spanned, Value};
use tools::mcp::McpConfig;
use tools::openapi::OpenapiConfig;
use tools::{DatabaseConfig, EgressConfig, ToolConfig};

/// A file that was read, for turning places in it into lines.
pub struct File {
    pub path: PathBuf,
    pub text: String,
    pub tables: Tables,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    pub listen: Option<Spanned<String>>,
    pub data: Option<Spanned<String>>,
    pub agents: Option<Spanned<String>>,
    pub database_url: Option<Spanned<String>>,
    pub nats: Option<Spanned<String>>,
    pub nats_prefix: Option<Spanned<String>>,
    pub nats_credentials: Option<Spanned<String>>,
    pub role: Option<Spanned<String>>,
    pub allowed_hosts: Option<Spanned<Vec<String>>>,
    pub allowed_origins: Option<Spanned<Vec<String>>>,
    pub detect: Option<Spanned<bool>>,
    #[serde(default)]
    pub log: LogTable,
    #[serde(default)]
    pub limits: BTreeMap<Spanned<String>, Spanned<Value>>,
    #[serde(default)]
    pub lanes: Vec<Spanned<LaneConfig>>,
    #[serde(default)]
    pub orgs: BTreeMap<Spanned<String>, OrgTable>,
    #[serde(default)]
    pub router: RouterSettings,
    #[serde(default)]
    pub tools: BTreeMap<Spanned<String>, ToolConfig>,
    #[serde(default)]
    pub mcp: BTreeMap<String, McpConfig>,
    #[serde(default)]
    pub openapi: BTreeMap<String, OpenapiConfig>,
    #[serde(default)]
    pub databases: BTreeMap<String, DatabaseConfig>,
    #[serde(default)]
    pub egress: EgressConfig,
    #[serde(default)]
    pub policy: PolicyTable,
    #[serde(default)]
    pub approvals: AskOptions,
    #[serde(default)]
    pub webhooks: Vec<Spanned<WebhookTable>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTable {
    pub format: Option<Spanned<String>>,
    pub level: Option<Spanned<String>>,
}

impl File {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, text)
    }

    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let tables = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            message: error.message().replace('\n', " "),
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
            tables,
        })
    }

    /// The line, from 1, of a byte of the file.
    pub fn line(&self, offset: usize) -> usize {
        line_of(&self.text, offset)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
