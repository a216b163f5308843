//! A gateway with a scripted MCP server, and a store that remembers what is trusted.

use crate::support::{StillClock, env};
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use domain::{OrgId, Timestamp};
use scripted::{Does, Era, McpServer, McpTool};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::sqlite::SqliteSettings;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tools::egress::{Lookup, System};
use tools::mcp::oauth::{Account, Logins, SealKey};
use tools::mcp::{McpConfig, ServerStatus, Servers};
use tools::{ConfigError, EgressConfig, Gateway, Setup, ToolConfigs};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    tools: ToolConfigs,
    #[serde(default)]
    egress: EgressConfig,
    mcp: BTreeMap<String, toml::Table>,
}

/// The time, as tokens go by it, and ids that differ.
struct RealClock;

impl Clock for RealClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an authorization server's time is the real one"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_micros(since.unwrap().as_micros().try_into().unwrap())
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

pub struct World {
    pub server: McpServer,
    pub gateway: Arc<Gateway>,
    pub store: Arc<dyn Store>,
    servers: Servers,
    running: JoinHandle<()>,
    stop: CancellationToken,
    _folder: Arc<TempDir>,
}

pub fn echo(names: &[&str]) -> Vec<McpTool> {
    let tools = names.iter().map(|name| McpTool::new(name, Does::Echo));
    tools.collect()
}

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// A server named `files` with these tools, once it is up. `more` is more configuration.
    pub async fn new(era: Era, transport: Transport, tools: Vec<McpTool>, more: &str) -> Self {
        let server = McpServer::start(era, tools).await;
        let world = Self::around(server, transport, more).await;
        world
            .until(|names| names.iter().any(|name| name != "current_time"))
            .await;
        world.up("files").await;
        world
    }

    /// The same around a server that need not be ready.
    pub async fn around(server: McpServer, transport: Transport, more: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let path = folder.path().join("runyard.db");
        let store = store::sqlite::open(&path, SqliteSettings::default())
            .await
            .unwrap();
        Self::with(server, transport, more, store, folder)
    }

    /// Another life of the gateway, with what the first one knew.
    pub async fn again(self, transport: Transport, more: &str) -> Self {
        let (server, store, folder) = (
            self.server.clone(),
            self.store.clone(),
            self._folder.clone(),
        );
        self.stop().await;
        Self::with(server, transport, more, store, folder)
    }

    fn with(
        server: McpServer,
        transport: Transport,
        more: &str,
        store: Arc<dyn Store>,
        folder: Arc<TempDir>,
    ) -> Self {
        // The first TLS client needs it; later installs find it in place.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut text = more.to_owned();
        if !text.contains("[mcp.files]") {
            text.push_str("\n[mcp.files]\n");
        }
        let reach = reach(&server, transport);
        let text = text.replace("[mcp.files]", &format!("[mcp.files]\n{reach}\n"));
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mcp: BTreeMap<String, McpConfig> = file
            .mcp
            .into_iter()
            .map(|(name, table)| (name, table.try_into().unwrap()))
            .collect();
        let egress = file.egress;
        let servers = Servers::build(&tools::mcp::Setup {
            servers: &mcp,
            tools: &file.tools,
            egress: &egress,
            lookup: Arc::new(System),
            pins: store.clone(),
            logins: Some(Logins {
                store: store.clone(),
                key: SealKey::new(&[7; SealKey::BYTES]),
            }),
            clock: Arc::new(RealClock),
            env: &env,
            data: folder.path(),
        })
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let gateway = Gateway::build(Setup {
            tools: file.tools,
            databases: BTreeMap::new(),
            egress,
            policy: Default::default(),
            asking: domain::approval::AskOptions::default(),
            clock: Arc::new(StillClock),
            results: Some(store.clone()),
            lookup: Arc::new(System),
            env: &env,
            data: folder.path(),
        });
        let gateway = Arc::new(gateway.unwrap_or_else(|error| panic!("{error}\n{text}")));
        let stop = CancellationToken::new();
        let running = servers.clone().run(gateway.clone(), stop.clone());
        Self {
            server,
            gateway,
            store,
            servers,
            running: tokio::spawn(running),
            stop,
            _folder: folder,
        }
    }

    /// Another process on the same store.
    pub fn beside(&self, transport: Transport, more: &str) -> Self {
        Self::with(
            self.server.clone(),
            transport,
            more,
            self.store.clone(),
            self._folder.clone(),
        )
    }

    pub fn account(&self, org: Option<&OrgId>) -> Account {
        let account = self.servers.account("files", org);
        account.expect("the server takes this login")
    }

    pub fn status(&self) -> ServerStatus {
        self.status_of("files")
    }

    pub fn status_of(&self, name: &str) -> ServerStatus {
        let all = self.servers.status();
        all.into_iter().find(|status| status.name == name).unwrap()
    }

    pub async fn up(&self, name: &str) {
        let is_up = || self.status_of(name).health == tools::mcp::Health::Up;
        self.wait(is_up, &|| format!("{:?}", self.status_of(name)))
            .await;
    }

    /// Waits until the gateway's tools are as wished.
    pub async fn until(&self, wished: impl Fn(&[String]) -> bool) {
        let is_so = || wished(&self.gateway.names());
        let told = || format!("{:?}, {:?}", self.gateway.names(), self.servers.status());
        self.wait(is_so, &told).await;
    }

    /// Waits until the server has seen something.
    pub async fn eventually(&self, wished: impl Fn(&McpServer) -> bool) {
        self.wait(|| wished(&self.server), &|| {
            format!("{:?}", self.server.calls())
        })
        .await;
    }

    pub async fn wait(&self, is_so: impl Fn() -> bool, told: &dyn Fn() -> String) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "it did not come: {}", told());
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// The settings that lead to a scripted server.
pub fn reach(server: &McpServer, transport: Transport) -> String {
    match transport {
        Transport::Http => format!("url = \"{}\"", server.url()),
        Transport::Stdio => {
            let command = server.command();
            format!(
                "command = {:?}\nargs = {:?}\nprotocol = \"auto\"",
                command[0],
                &command[1..]
            )
        }
    }
}

/// Servers with one named `files`, on a store of their own, whose names are looked up like this.
pub async fn servers(
    settings: toml::Table,
    lookup: Arc<dyn Lookup>,
) -> Result<Servers, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runyard.db");
    let store = store::sqlite::open(&path, SqliteSettings::default())
        .await
        .unwrap();
    let mcp = BTreeMap::from([("files".to_owned(), settings.try_into().unwrap())]);
    Servers::build(&tools::mcp::Setup {
        servers: &mcp,
        tools: &ToolConfigs::default(),
        egress: &EgressConfig::default(),
        lookup,
        pins: store.clone(),
        logins: Some(Logins {
            store,
            key: SealKey::new(&[7; SealKey::BYTES]),
        }),
        clock: Arc::new(StillClock),
        env: &env,
        data: folder.path(),
    })
}
