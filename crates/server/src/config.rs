//! The server's settings: flags before environment before file before defaults, each with the place it came from.
//! It knows names, forms and defaults; it opens nothing but the file.

mod env;
mod error;
pub(crate) mod file;
mod lanes;
mod layers;
mod limits;
mod orgs;
mod places;
mod policy;
mod source;
mod tools;
mod webhooks;

#[cfg(test)]
mod tests;

pub use env::Env;
pub use error::ConfigError;
pub use limits::{Limits, Retention, Row, markdown as limits_markdown};
pub use orgs::OrgTable;
pub use source::{Source, Sourced};
pub use tools::ToolSettings;
pub use webhooks::Webhook;

use domain::OrgId;
use domain::lane::OrgLanes;
use engine::{DayBudgets, EngineSettings};
use file::File;
use layers::{Layers, listen_address, parsed};
use models::{LaneConfig, RouterSettings};
use secrecy::SecretString;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub const FILE_NAME: &str = "runyard.toml";
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Folder of the agents, beside the configuration file or in the data folder.
const AGENTS: &str = "agents";

/// Settings as flags; each has an environment twin and a key in the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub places: Places,
    /// Address and port to listen on; port 0 takes a free one [env: RUNYARD_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Folder of the agents' Markdown files [env: RUNYARD_AGENTS] [default: `agents` beside the configuration file or in the data folder]
    #[arg(long, value_name = "DIR")]
    pub agents: Option<String>,
    /// NATS server over which servers on one PostgreSQL database tell each other of news [env: RUNYARD_NATS]
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// What this process does: all, api or worker [env: RUNYARD_ROLE] [default: all]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
}

/// Where the configuration and the data are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Places {
    /// Configuration file [env: RUNYARD_CONFIG] [default: runyard.toml here or in the user's configuration folder, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Data folder [env: RUNYARD_DATA] [default: by the platform's convention]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// PostgreSQL database (postgres://…) or another SQLite file (sqlite:PATH) to use instead of runyard.db in the data folder [env: RUNYARD_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

impl From<Places> for Flags {
    fn from(places: Places) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers requests and carries runs.
    All,
    /// Answers requests; other servers on the same database carry the runs.
    Api,
    /// Carries runs. It answers requests as well, so that it can be looked at; clients are not sent to it.
    Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Where the store is.
#[derive(Debug)]
pub enum Database {
    /// A file, which one server at a time serves.
    Sqlite(PathBuf),
    /// An address, which several servers may share.
    Postgres(Sourced<SecretString>),
}

/// Where servers on one database meet.
#[derive(Debug)]
pub struct Nats {
    /// May hold a password.
    pub url: Sourced<SecretString>,
    /// Under which subjects this installation talks.
    pub prefix: String,
    /// A `.creds` file.
    pub credentials: Option<PathBuf>,
}

/// Everything that a server is started with.
#[derive(Debug)]
pub struct Settings {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    pub listen: Sourced<SocketAddr>,
    pub data: Sourced<PathBuf>,
    pub agents: Sourced<PathBuf>,
    pub database: Database,
    pub nats: Option<Nats>,
    pub role: Sourced<Role>,
    /// Names besides its own by which the server may be addressed.
    pub allowed_hosts: Vec<String>,
    /// Web pages that may call the server.
    pub allowed_origins: Vec<String>,
    pub log_format: Sourced<LogFormat>,
    /// A filter as tracing reads it.
    pub log_level: Sourced<String>,
    pub limits: Limits,
    /// Lanes of the file, or else of the environment.
    pub lanes: Vec<LaneConfig>,
    /// What single orgs allow of them.
    pub org_lanes: HashMap<OrgId, OrgLanes>,
    /// What lanes have in common.
    pub router: RouterSettings,
    /// Look for model servers beside this one, because no lane was configured.
    pub detect_lanes: bool,
    pub tools: ToolSettings,
    /// Ceilings of orgs' days.
    pub budgets: DayBudgets,
    /// Endpoints that are told of what happens.
    pub webhooks: Vec<Webhook>,
    /// The owner's key for the first start.
    pub owner_key: Option<SecretString>,
    /// Seals logins at other servers, in place of the file of the data folder.
    pub secret_key: Option<SecretString>,
}

impl Settings {
    /// The store's place as it may be shown.
    pub fn store_name(&self) -> String {
        match &self.database {
            Database::Postgres(url) => format!("PostgreSQL (from {})", url.source),
            Database::Sqlite(path) => format!("SQLite at {}", path.display()),
        }
    }

    /// The engine's dials. A server that only answers has no place for runs.
    pub fn engine(&self) -> EngineSettings {
        let is_shared = matches!(self.database, Database::Postgres(_));
        let mut engine = self.limits.engine(is_shared);
        if self.role.value == Role::Api {
            engine.active_runs_max = 0;
        }
        let webhooks = self.webhooks.iter();
        engine.webhooks = webhooks
            .map(|webhook| webhook.subscription.clone())
            .collect();
        engine
    }

    pub fn owner_key_path(&self) -> PathBuf {
        owner_key_path(&self.data.value)
    }

    pub fn server_file_path(&self) -> PathBuf {
        server_file_path(&self.data.value)
    }
}

/// Where a server leaves the owner's key for commands on the same machine.
pub fn owner_key_path(data: &Path) -> PathBuf {
    data.join("owner.key")
}

/// Where a running server says at which address it answers.
pub fn server_file_path(data: &Path) -> PathBuf {
    data.join("server.json")
}

/// Reads all settings. `here` is the folder that relative paths of flags and variables start from.
pub fn load(flags: &Flags, env: &Env, here: &Path) -> Result<Settings, ConfigError> {
    let file = find_file(flags, env, here)?;
    let layers = Layers {
        env,
        here,
        file: file.as_ref(),
    };
    let tables = file.as_ref().map(|file| &file.tables);
    let data = layers.data(&flags.places)?;
    let lanes = layers.lanes()?;
    let database = layers.database(&flags.places, &data.value)?;
    let role = layers.role(flags)?;
    if role.value == Role::Api && matches!(database, Database::Sqlite(_)) {
        let why = "nobody would carry the runs: another server cannot share a SQLite file; give --database-url too";
        return Err(ConfigError::invalid(&role.source, "role", "api", why));
    }
    Ok(Settings {
        listen: layers
            .text(
                ("listen", "RUNYARD_LISTEN"),
                flags.listen.as_deref(),
                tables.and_then(|tables| tables.listen.as_ref()),
            )
            .map_or_else(
                || listen_address(&Sourced::default(DEFAULT_LISTEN.to_owned())),
                |text| listen_address(&text),
            )?,
        agents: layers.agents(flags, &data.value),
        database,
        nats: layers.nats(flags),
        role,
        allowed_hosts: layers.list(
            "RUNYARD_ALLOWED_HOSTS",
            tables.and_then(|tables| tables.allowed_hosts.as_ref()),
        ),
        allowed_origins: layers.list(
            "RUNYARD_ALLOWED_ORIGINS",
            tables.and_then(|tables| tables.allowed_origins.as_ref()),
        ),
        log_format: layers
            .text(
                ("log.format", "RUNYARD_LOG_FORMAT"),
                None,
                tables.and_then(|tables| tables.log.format.as_ref()),
            )
            .map_or(Ok(Sourced::default(LogFormat::Auto)), |text| {
                parsed("log.format", &text)
            })?,
        log_level: layers
            .text(
                ("log.level", "RUNYARD_LOG"),
                None,
                tables.and_then(|tables| tables.log.level.as_ref()),
            )
            .unwrap_or_else(|| Sourced::default("info".to_owned())),
        limits: layers.limits()?,
        detect_lanes: lanes.is_empty() && layers.detect()?,
        org_lanes: layers.org_lanes(&lanes)?,
        lanes,
        router: tables.map(|tables| tables.router).unwrap_or_default(),
        tools: layers.tools(),
        budgets: layers.budgets()?,
        webhooks: layers.webhooks()?,
        owner_key: env.get("RUNYARD_OWNER_KEY").map(SecretString::from),
        secret_key: env.get("RUNYARD_SECRET_KEY").map(SecretString::from),
        file: file.as_ref().map(|file| file.path.clone()),
        data,
    })
}

/// Where the store is, for commands that look at nothing else: a secret that only a server needs may be missing there.
pub fn load_database(places: &Places, env: &Env, here: &Path) -> Result<Database, ConfigError> {
    let flags = Flags::from(places.clone());
    let file = find_file(&flags, env, here)?;
    let layers = Layers {
        env,
        here,
        file: file.as_ref(),
    };
    layers.database(places, &layers.data(places)?.value)
}

/// Where the data is, for commands that need nothing else.
pub fn load_data(places: &Places, env: &Env, here: &Path) -> Result<PathBuf, ConfigError> {
    let flags = Flags::from(places.clone());
    let file = find_file(&flags, env, here)?;
    let layers = Layers {
        env,
        here,
        file: file.as_ref(),
    };
    Ok(layers.data(places)?.value)
}

/// A file that was asked for must be there; one in a usual place is read if it is there.
fn find_file(flags: &Flags, env: &Env, here: &Path) -> Result<Option<File>, ConfigError> {
    let asked = flags
        .places
        .config
        .as_deref()
        .or_else(|| env.get("RUNYARD_CONFIG"));
    if let Some(path) = asked {
        return File::read(&here.join(path)).map(Some);
    }
    let usual = [
        Some(here.join(FILE_NAME)),
        places::config(env).map(|folder| folder.join(FILE_NAME)),
    ];
    usual
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .map(|path| File::read(&path))
        .transpose()
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "all" => Ok(Self::All),
            "api" => Ok(Self::Api),
            "worker" => Ok(Self::Worker),
            _ => Err("it is all, api or worker"),
        }
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it is auto, text or json"),
        }
    }
}
