//! The gateway's tools: those of the configuration, the sample fleet's where that is installed, and the builtins. It
//! does not know what they do.

use crate::cli::Failure;
use crate::config::{Env, Settings, Webhook};
use crate::secret_key;
use crate::webhooks::Courier;
use ::tools::egress::Egress;
use ::tools::mcp::oauth::{Logins, SealKey};
use ::tools::mcp::{self, Servers};
use ::tools::{DatabaseConfig, Gateway, Setup, ToolConfig, ToolConfigs, egress, fleet};
use domain::ports::clock::Clock;
use domain::ports::store::{LoginStore, PinStore, ResultStore, Store};
use engine::Engine;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The gateway, and the servers whose tools join it once they are run.
pub struct Tools {
    pub gateway: Arc<Gateway>,
    pub servers: Servers,
}

/// Where what tools need is kept.
pub struct Stores {
    pub pins: Arc<dyn PinStore>,
    pub logins: Arc<dyn LoginStore>,
    /// The key that logins are sealed with is made if there is none.
    pub make_key: bool,
    /// `None` keeps no results.
    pub results: Option<Arc<dyn ResultStore>>,
}

/// Builds the gateway. SQLite files that tools name are opened, nothing else.
pub async fn tools(
    settings: &Settings,
    env: &Env,
    clock: Arc<dyn Clock>,
    stores: Stores,
) -> Result<Tools, Failure> {
    let failed = |error: &::tools::ConfigError| {
        let mend = match &settings.file {
            Some(path) => format!(
                "change it in {}; docs/configuration.md says how",
                path.display()
            ),
            None => "remove the sample fleet's database from the data folder".to_owned(),
        };
        Failure::new("the tools or their rules cannot be used", mend).because(error as &dyn Error)
    };
    let (mut tools, databases) = configured(settings);
    for (name, tool) in super::openapi::tools(settings).await?.0 {
        // A table of its own goes before what a document says.
        tools.0.entry(name).or_insert(tool);
    }
    let logins = if settings
        .tools
        .mcp
        .values()
        .any(|server| server.oauth.is_some())
    {
        let key = secret_key::find(settings, stores.make_key)?;
        // Without a key nobody can be logged in yet.
        let key = key.or_else(|| SealKey::random().map(|(_, key)| key));
        key.map(|key| Logins {
            store: stores.logins,
            key,
        })
    } else {
        None
    };
    let env = |name: &str| env.get(name).map(str::to_owned);
    let servers = Servers::build(&mcp::Setup {
        servers: &settings.tools.mcp,
        tools: &tools,
        egress: &settings.tools.egress,
        lookup: Arc::new(egress::System),
        pins: stores.pins,
        logins,
        clock: clock.clone(),
        env: &env,
        data: &settings.data.value,
    })
    .map_err(|error| failed(&error))?;
    let gateway = Gateway::build(Setup {
        tools,
        databases,
        egress: settings.tools.egress.clone(),
        policy: settings.tools.policy.clone(),
        asking: settings.tools.asking.clone(),
        clock,
        results: stores.results,
        lookup: Arc::new(egress::System),
        env: &env,
        data: &settings.data.value,
    })
    .map_err(|error| failed(&error))?;
    Ok(Tools {
        gateway: Arc::new(gateway),
        servers,
    })
}

/// One courier for each webhook, all behind the tools' own egress rules.
pub fn couriers(
    settings: &Settings,
    store: &Arc<dyn Store>,
    engine: &Arc<Engine>,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> Result<Vec<Courier>, Failure> {
    let egress = Egress::new(&settings.tools.egress).map_err(|error| {
        Failure::new("the egress rules cannot be used", "change `[egress]`").because(&error)
    })?;
    let egress = Arc::new(egress);
    let courier = |webhook: &Webhook| Courier {
        webhook: webhook.clone(),
        store: store.clone(),
        engine: engine.clone(),
        clock: clock.clone(),
        egress: egress.clone(),
        stop: stop.clone(),
    };
    Ok(settings.webhooks.iter().map(courier).collect())
}

/// Whether the configuration has a tool of this name, or a server that may come to offer one.
pub fn is_known(settings: &Settings, name: &str) -> bool {
    let offered = |server: &String| {
        let rest = name.strip_prefix(server.as_str());
        rest.is_some_and(|rest| rest.starts_with(mcp::BETWEEN))
    };
    let from_elsewhere = settings
        .tools
        .mcp
        .keys()
        .chain(settings.tools.openapi.keys());
    from_elsewhere.into_iter().any(offered) || configured(settings).0.0.contains_key(name)
}

/// Where the sample fleet's database is, if the samples were installed.
pub fn fleet_path(settings: &Settings) -> PathBuf {
    settings.data.value.join("fleet.db")
}

/// What the configuration says goes before what comes along.
fn configured(settings: &Settings) -> (ToolConfigs, BTreeMap<String, DatabaseConfig>) {
    let mut tools = settings.tools.tools.0.clone();
    let mut databases = settings.tools.databases.clone();
    if fleet_path(settings).is_file() {
        let sample: Sample =
            toml::from_str(fleet::TOML).expect("the sample's tools are well written");
        if sample
            .databases
            .keys()
            .all(|name| !databases.contains_key(name))
        {
            databases.extend(sample.databases);
            for (name, tool) in sample.tools.0 {
                tools.entry(name).or_insert(tool);
            }
        }
    }
    for name in ["current_time", "read_result"] {
        tools.entry(name.to_owned()).or_insert_with(builtin);
    }
    (ToolConfigs(tools), databases)
}

/// The part of a configuration that the sample is.
#[derive(Deserialize)]
struct Sample {
    tools: ToolConfigs,
    databases: BTreeMap<String, DatabaseConfig>,
}

fn builtin() -> ToolConfig {
    ToolConfig::deserialize(json!({ "kind": "builtin" })).expect("a builtin needs no settings")
}
