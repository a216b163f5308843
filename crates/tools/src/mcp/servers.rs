//! Every declared server, made from the configuration: nothing is started or connected to until they are run.

use super::config::{McpConfig, OrgCredentials};
use super::link::{Link, Reach, State};
use super::oauth::{Account, Logins, OauthConfig, Tokens};
use super::offer::{Pick, Rules};
use super::process::{INHERITED, Program};
use super::remote::Remote;
use super::server::{Server, ServerStatus};
use super::{BETWEEN, source};
use crate::config::{EgressConfig, Kind, Setting, ToolConfigs};
use crate::egress::{Egress, Lookup};
use crate::error::ConfigError;
use crate::gateway::Gateway;
use crate::limits;
use domain::OrgId;
use domain::pin::ToolPin;
use domain::ports::clock::Clock;
use domain::ports::logins::LoginOf;
use domain::ports::store::PinStore;
use futures::future::join_all;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

/// What servers are made from.
pub struct Setup<'a> {
    pub servers: &'a BTreeMap<String, McpConfig>,
    /// All of the configuration's; those of kind `mcp` are looked at.
    pub tools: &'a ToolConfigs,
    pub egress: &'a EgressConfig,
    pub lookup: Arc<dyn Lookup>,
    pub pins: Arc<dyn PinStore>,
    /// `None` where no server takes logins.
    pub logins: Option<Logins>,
    pub clock: Arc<dyn Clock>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where programs run that name no folder.
    pub data: &'a Path,
}

/// The declared servers.
#[derive(Clone)]
pub struct Servers {
    all: Arc<[Arc<Server>]>,
    pins: Arc<dyn PinStore>,
}

impl Servers {
    pub fn build(setup: &Setup<'_>) -> Result<Self, ConfigError> {
        let mut picks = picks(setup)?;
        let mut all = Vec::new();
        for (name, config) in setup.servers {
            let picks = picks.remove(name).unwrap_or_default();
            let maker = Maker {
                setup,
                name,
                config,
            };
            all.push(maker.server(picks)?);
        }
        Ok(Self {
            all: all.into(),
            pins: Arc::clone(&setup.pins),
        })
    }

    /// Offers the tools that are trusted already, before any server is asked.
    pub async fn remember(&self, gateway: &Arc<Gateway>) {
        if self.all.is_empty() {
            return;
        }
        let known = self.pins.system_tool_pins().await.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the trusted tools of MCP servers could not be read; they are offered once the servers answer");
            Vec::new()
        });
        for server in self.all.iter() {
            let known = known.iter().filter(|pin| pin.server == server.name);
            let known = known.filter(|pin| server.rules.wants(&pin.trusted.name));
            let known: Vec<ToolPin> = known.cloned().collect();
            server.remember(known, gateway);
        }
    }

    /// Keeps every server up until `stop`, each without regard to the others.
    pub async fn run(self, gateway: Arc<Gateway>, stop: CancellationToken) {
        self.remember(&gateway).await;
        join_all(self.all.iter().map(|server| server.run(&stop))).await;
    }

    /// Tries to reach every server, and says how that went after `limit` at most.
    pub async fn look(self, gateway: Arc<Gateway>, limit: Duration) -> Vec<ServerStatus> {
        let stop = CancellationToken::new();
        let settled = join_all(self.all.iter().map(|server| server.settled()));
        tokio::select! {
            () = self.clone().run(gateway, stop.clone()) => {}
            _ = tokio::time::timeout(limit, settled) => {}
        }
        let found = self.status();
        stop.cancel();
        found
    }

    /// Whether a tool of this name may come from one of the servers, though none has offered it yet.
    pub fn may_offer(&self, name: &str) -> bool {
        self.all.iter().any(|server| {
            let own = name.strip_prefix(server.name.as_str());
            let is_own = own.is_some_and(|rest| rest.starts_with(BETWEEN));
            is_own || server.rules.picks.iter().any(|pick| pick.name == name)
        })
    }

    /// What a login at this server takes, for one org or for all that have none of their own. `None` if nobody can log in
    /// there.
    pub fn account(&self, server: &str, org: Option<&OrgId>) -> Option<Account> {
        let server = self.all.iter().find(|it| it.name == server)?;
        let link = server.links.iter().find(|link| link.org.as_ref() == org)?;
        match &link.reach {
            Reach::Remote(remote) => Some(remote.tokens.as_ref()?.account().clone()),
            Reach::Program(_) => None,
        }
    }

    /// Every login that there may be: server and org.
    pub fn accounts(&self) -> Vec<Account> {
        let links = self.all.iter().flat_map(|server| &server.links);
        let accounts = links.filter_map(|link| match &link.reach {
            Reach::Remote(remote) => Some(remote.tokens.as_ref()?.account().clone()),
            Reach::Program(_) => None,
        });
        accounts.collect()
    }

    /// By name.
    pub fn status(&self) -> Vec<ServerStatus> {
        self.all.iter().map(|server| server.status()).collect()
    }
}

/// Tables of kind `mcp`, by server.
fn picks(setup: &Setup<'_>) -> Result<BTreeMap<String, Vec<Pick>>, ConfigError> {
    let mut picks: BTreeMap<String, Vec<Pick>> = BTreeMap::new();
    for (name, config) in &setup.tools.0 {
        let Kind::Mcp(mcp) = &config.kind else {
            continue;
        };
        if !setup.servers.contains_key(&mcp.server) {
            return Err(ConfigError::UnknownServer {
                tool: name.clone(),
                server: mcp.server.clone(),
            });
        }
        // Checked as for any other tool; the schema and the rest come from the server.
        crate::gateway::check(name, &config.common)?;
        if config.common.input_schema.is_some() {
            return Err(ConfigError::ServersSetting {
                tool: name.clone(),
                setting: "`input_schema`",
            });
        }
        let tool = mcp.tool.clone().unwrap_or_else(|| name.clone());
        let of_server = picks.entry(mcp.server.clone()).or_default();
        if of_server.iter().any(|pick| pick.tool == tool) {
            return Err(ConfigError::PickedTwice {
                tool: name.clone(),
                server: mcp.server.clone(),
                picked: tool,
            });
        }
        of_server.push(Pick {
            name: name.clone(),
            tool,
            common: config.common.clone(),
        });
    }
    Ok(picks)
}

/// Makes one server.
struct Maker<'a> {
    setup: &'a Setup<'a>,
    name: &'a str,
    config: &'a McpConfig,
}

impl Maker<'_> {
    fn wrong(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Mcp {
            server: self.name.to_owned(),
            what: what.into(),
        }
    }

    fn server(&self, picks: Vec<Pick>) -> Result<Arc<Server>, ConfigError> {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let is_name = (1..=32).contains(&self.name.len())
            && self.name.bytes().all(letters)
            && !self.name.contains(BETWEEN)
            && !self.name.ends_with('_');
        if !is_name {
            return Err(self.wrong(
                "its name has 1 to 32 letters, digits, `-` and `_`, no `__`, and no `_` at its end",
            ));
        }
        self.ranges()?;
        let seconds = |setting, value: f64| {
            Duration::try_from_secs_f64(value)
                .ok()
                .filter(|time| !time.is_zero() && *time <= limits::TIMEOUT_MAX)
                .ok_or_else(|| {
                    self.wrong(format!("`{setting}` must be more than 0 and at most 3600"))
                })
        };
        let timeout = seconds("timeout_s", self.config.timeout_s)?;
        let connect_timeout = seconds("connect_timeout_s", self.config.connect_timeout_s)?;
        let refresh = seconds("refresh_s", self.config.refresh_s)?;
        let mut links = Vec::new();
        let mut by_org = BTreeMap::new();
        let nothing = OrgCredentials::default();
        let mut add = |org: Option<OrgId>, credentials| {
            links.push(Link {
                server: self.name.to_owned(),
                reach: self.reach(credentials, org.as_ref())?,
                org,
                protocol: self.config.protocol,
                connect_timeout,
                refresh,
                clock: Arc::clone(&self.setup.clock),
                state: watch::Sender::new(State::Starting),
                wanted: Notify::new(),
                is_legacy: false.into(),
            });
            Ok(links.len() - 1)
        };
        if !self.config.orgs_only {
            add(None, &nothing)?;
        }
        for (org, credentials) in &self.config.orgs {
            let id = OrgId::new(org.as_str())
                .map_err(|_| self.wrong(format!("`{org}` is no name of an org")))?;
            by_org.insert(id.clone(), add(Some(id), credentials)?);
        }
        if links.is_empty() {
            return Err(self.wrong("`orgs_only` needs an `orgs.NAME` with credentials"));
        }
        Ok(Arc::new_cyclic(|itself: &Weak<Server>| Server {
            name: self.name.to_owned(),
            rules: Rules {
                config: self.config.clone(),
                timeout,
                picks,
            },
            links,
            by_org,
            permits: Semaphore::new(self.config.max_concurrency),
            pins: Arc::clone(&self.setup.pins),
            clock: Arc::clone(&self.setup.clock),
            gateway: Mutex::new(Weak::new()),
            offered: Mutex::default(),
            itself: itself.clone(),
        }))
    }

    fn ranges(&self) -> Result<(), ConfigError> {
        let config = self.config;
        let within = |value: usize, least: usize, most: usize, setting: &str| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(self.wrong(format!("`{setting}` must be between {least} and {most}")))
        };
        within(
            config.max_concurrency,
            1,
            limits::CONCURRENCY_MAX,
            "max_concurrency",
        )?;
        within(
            config.max_result_bytes,
            limits::RESULT_BYTES_MIN,
            limits::RESULT_BYTES_MAX,
            "max_result_bytes",
        )?;
        within(
            config.max_message_bytes,
            4 << 10,
            limits::MCP_MESSAGE_BYTES_MAX,
            "max_message_bytes",
        )
    }

    /// How the server is reached with these credentials.
    fn reach(
        &self,
        credentials: &OrgCredentials,
        org: Option<&OrgId>,
    ) -> Result<Reach, ConfigError> {
        let config = self.config;
        match (&config.command, &config.url) {
            (Some(command), None) => {
                if !config.headers.is_empty() || !credentials.headers.is_empty() {
                    return Err(self.wrong("`headers` belong to a server with a `url`"));
                }
                if config.oauth.is_some() {
                    return Err(self.wrong("`oauth` belongs to a server with a `url`"));
                }
                self.program(command, credentials).map(Reach::Program)
            }
            (None, Some(url)) => {
                let is_program = config.cwd.is_some() || !config.args.is_empty();
                if is_program || !config.env.is_empty() || !credentials.env.is_empty() {
                    return Err(
                        self.wrong("`args`, `env` and `cwd` belong to a server with a `command`")
                    );
                }
                self.remote(url, credentials, org).map(Reach::Remote)
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(self.wrong("it has either a `command` or a `url`"))
            }
        }
    }

    fn resolve(&self, setting: &Setting) -> Result<SecretString, ConfigError> {
        setting
            .resolve(self.setup.env)
            .map_err(|variable| ConfigError::Unset {
                owner: format!("MCP server `{}`", self.name),
                variable,
            })
    }

    fn program(&self, command: &str, credentials: &OrgCredentials) -> Result<Program, ConfigError> {
        let inherited = INHERITED.iter().filter_map(|name| {
            let value = (self.setup.env)(name)?;
            Some(((*name).to_owned(), SecretString::from(value)))
        });
        let mut env: BTreeMap<String, SecretString> = inherited.collect();
        for (name, setting) in self.config.env.iter().chain(&credentials.env) {
            env.insert(name.clone(), self.resolve(setting)?);
        }
        let cwd = self
            .setup
            .data
            .join(self.config.cwd.as_deref().unwrap_or("."));
        Ok(Program {
            command: command.to_owned(),
            args: self.config.args.clone(),
            env: env.into_iter().collect(),
            cwd,
            message_bytes_max: self.config.max_message_bytes,
        })
    }

    fn remote(
        &self,
        url: &str,
        credentials: &OrgCredentials,
        org: Option<&OrgId>,
    ) -> Result<Remote, ConfigError> {
        let url = Url::parse(url).map_err(|error| self.wrong(format!("`url`: {error}")))?;
        let mut headers = HashMap::new();
        for (name, setting) in self.config.headers.iter().chain(&credentials.headers) {
            let wrong = || self.wrong(format!("the header `{name}` cannot be sent"));
            let key = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .filter(|key| !OWN_HEADERS.contains(&key.as_str()))
                .ok_or_else(wrong)?;
            let secret = self.resolve(setting)?;
            let mut value = HeaderValue::from_str(secret.expose_secret()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let egress = Egress::declared(self.setup.egress, &url, &self.setup.lookup)?;
        egress
            .check(&url)
            .map_err(|refused| self.wrong(format!("`url`: {refused}")))?;
        let egress = Arc::new(egress);
        let tokens = match &self.config.oauth {
            Some(_) if headers.contains_key(&reqwest::header::AUTHORIZATION) => {
                return Err(self.wrong("it has either `oauth` or an `authorization` header"));
            }
            Some(oauth) => Some(self.tokens(oauth, &url, &egress, org)?),
            None => None,
        };
        Ok(Remote {
            url,
            headers,
            egress,
            tokens,
            message_bytes_max: self.config.max_message_bytes,
            concurrency_max: self.config.max_concurrency,
        })
    }
}

impl Maker<'_> {
    fn tokens(
        &self,
        oauth: &OauthConfig,
        url: &Url,
        egress: &Arc<Egress>,
        org: Option<&OrgId>,
    ) -> Result<Arc<Tokens>, ConfigError> {
        let logins = self.setup.logins.clone();
        let logins =
            logins.ok_or_else(|| self.wrong("`oauth` needs a place where logins are kept"))?;
        if oauth.client_secret.is_some() && oauth.client_id.is_none() {
            return Err(self.wrong("`oauth.client_secret` is of a client with a `client_id`"));
        }
        let secret = oauth.client_secret.as_ref();
        let account = Account {
            of: LoginOf {
                server: self.name.to_owned(),
                org: org.cloned(),
            },
            url: url.clone(),
            client_id: oauth.client_id.clone(),
            client_secret: secret.map(|secret| self.resolve(secret)).transpose()?,
            scopes: oauth.scopes.clone(),
            egress: Arc::clone(egress),
            logins,
            clock: Arc::clone(&self.setup.clock),
        };
        Ok(Arc::new(Tokens::new(account)))
    }
}

/// Headers that the protocol or the connection sets.
const OWN_HEADERS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
];

/// Which source each name of a picked tool belongs to, whether or not its server has told it yet.
pub(crate) fn reserved(tools: &ToolConfigs) -> BTreeMap<String, String> {
    let picked = tools
        .0
        .iter()
        .filter_map(|(name, config)| match &config.kind {
            Kind::Mcp(mcp) => Some((name.clone(), source(&mcp.server))),
            Kind::Sql(_) | Kind::Http(_) | Kind::Builtin(_) => None,
        });
    picked.collect()
}
