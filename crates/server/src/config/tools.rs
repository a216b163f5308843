//! Tools, databases and egress rules of the file, its relative paths made absolute. What they mean is the gateway's.

use super::layers::Layers;
use super::policy::policy;
use domain::approval::AskOptions;
use std::collections::BTreeMap;
use std::path::Path;
use tools::config::Setting;
use tools::mcp::McpConfig;
use tools::openapi::OpenapiConfig;
use tools::{DatabaseConfig, EgressConfig, PolicyConfig, ToolConfigs};

/// What the gateway is built from.
#[derive(Debug, Default)]
pub struct ToolSettings {
    pub tools: ToolConfigs,
    pub mcp: BTreeMap<String, McpConfig>,
    pub openapi: BTreeMap<String, OpenapiConfig>,
    pub databases: BTreeMap<String, DatabaseConfig>,
    pub egress: EgressConfig,
    pub policy: PolicyConfig,
    /// How approvals of every tool are decided.
    pub asking: AskOptions,
}

impl Layers<'_> {
    pub(super) fn tools(&self) -> ToolSettings {
        let Some(file) = self.file else {
            return ToolSettings::default();
        };
        let folder = file.path.parent().unwrap_or(self.here);
        let tables = &file.tables;
        let tools = tables.tools.iter();
        let databases = tables.databases.iter();
        let mcp = tables.mcp.iter();
        let openapi = tables.openapi.iter();
        ToolSettings {
            tools: ToolConfigs(
                tools
                    .map(|(name, tool)| (name.get_ref().clone(), tool.clone()))
                    .collect(),
            ),
            mcp: mcp
                .map(|(name, server)| (name.clone(), started_beside(folder, server)))
                .collect(),
            openapi: openapi
                .map(|(name, api)| (name.clone(), described_beside(folder, api)))
                .collect(),
            databases: databases
                .map(|(name, database)| (name.clone(), beside(folder, database)))
                .collect(),
            egress: tables.egress.clone(),
            policy: policy(file),
            asking: tables.approvals.clone(),
        }
    }
}

/// The folder of a program is meant from where the configuration is.
fn started_beside(folder: &Path, server: &McpConfig) -> McpConfig {
    let mut server = server.clone();
    if let Some(cwd) = &server.cwd {
        server.cwd = Some(folder.join(cwd).display().to_string());
    }
    server
}

/// A document's file is meant from where the configuration is.
fn described_beside(folder: &Path, api: &OpenapiConfig) -> OpenapiConfig {
    let mut api = api.clone();
    let is_url = api.document.starts_with("http://") || api.document.starts_with("https://");
    if !is_url {
        api.document = folder.join(&api.document).display().to_string();
    }
    api
}

/// A SQLite file that the configuration names is meant from where the configuration is.
fn beside(folder: &Path, database: &DatabaseConfig) -> DatabaseConfig {
    let mut database = database.clone();
    if let Setting::Literal(url) = &database.url {
        let is_server = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let (scheme, path) = match url.strip_prefix("sqlite:") {
            Some(path) => ("sqlite:", path),
            None => ("", url.as_str()),
        };
        if !is_server && Path::new(path).is_relative() {
            let path = folder.join(path);
            database.url = Setting::Literal(format!("{scheme}{}", path.display()));
        }
    }
    database
}
