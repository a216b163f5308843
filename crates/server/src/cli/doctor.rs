//! `runyard doctor`: looks at everything a server needs, changes nothing that is there, and says how to mend what is
//! broken.

use super::terminal::{Style, say};
use super::{Context, Outcome};
use crate::config::{self, Database, Flags, Nats, Settings};
use crate::registry::Registry;
use crate::serve;
use ::tools::mcp::{Health, ServerStatus, ToolState, ToolStatus};
use bus::Patience;
use domain::ports::clock::Clock;
use domain::ports::store::LoginStore;
use models::LaneConfig;
use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::OpenMode;

/// How long a lane or a server has for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long the MCP servers have to start, all together.
const START_MAX: Duration = Duration::from_secs(30);

/// What was found of one thing.
enum Found {
    Good(String),
    /// Works, but perhaps not as meant; the second text says what to do.
    Odd(String, String),
    /// A server would not start, or would not serve.
    Broken(String, String),
}
use Found::{Broken, Good, Odd};

type Check = (&'static str, Found);

pub async fn doctor(flags: &Flags, context: &Context) -> Outcome {
    let mut checks: Vec<Check> = Vec::new();
    match config::load(flags, &context.env, &context.here) {
        Err(error) => {
            let failure = super::Failure::from(error);
            checks.push(("settings", broken(&failure)));
        }
        Ok(settings) => {
            checks.push(("settings", file(&settings)));
            let folder = data_folder(&settings);
            let is_writable = !matches!(folder, Broken(..));
            checks.push(("data", folder));
            // Opening a store in a folder that cannot be written would only repeat the complaint.
            if is_writable || matches!(settings.database, Database::Postgres(_)) {
                checks.extend(store(&settings).await);
            }
            if let Some(nats) = &settings.nats {
                checks.push(("nats", bus(nats).await));
            }
            checks.extend(agents(&settings));
            checks.extend(lanes(&settings).await);
            checks.extend(tools(&settings, context).await);
            checks.push(("port", port(&settings).await));
        }
    }
    Ok(report(&checks))
}

fn report(checks: &[Check]) -> ExitCode {
    let style = Style::of(io::stdout().is_terminal());
    let mut is_broken = false;
    for (name, found) in checks {
        let (mark, text, mend) = match found {
            Good(text) => (style.green("ok    "), text, None),
            Odd(text, mend) => (style.yellow("note  "), text, Some(mend)),
            Broken(text, mend) => {
                is_broken = true;
                (style.red("broken"), text, Some(mend))
            }
        };
        say(&format!("{mark}  {name:<8}  {text}"));
        if let Some(mend) = mend {
            say(&format!("{:18}to mend it: {mend}", ""));
        }
    }
    if is_broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn broken(failure: &super::Failure) -> Found {
    Broken(failure.to_string(), failure.mend().to_owned())
}

fn file(settings: &Settings) -> Found {
    Good(match &settings.file {
        Some(path) => format!("from {}", path.display()),
        None => format!(
            "no {} is there; defaults and the environment",
            config::FILE_NAME
        ),
    })
}

fn data_folder(settings: &Settings) -> Found {
    let folder = &settings.data.value;
    let is_new = !folder.exists();
    match serve::prepare_folder(folder) {
        Err(failure) => broken(&failure),
        Ok(()) if is_new => Good(format!("{} was made and can be written", folder.display())),
        Ok(()) => Good(format!("{} can be written", folder.display())),
    }
}

async fn store(settings: &Settings) -> Vec<Check> {
    if let Database::Sqlite(path) = &settings.database
        && !path.exists()
    {
        let text = format!("{} is made at the first start", settings.store_name());
        return vec![("store", Good(text))];
    }
    let store = match serve::open_store(&settings.database, OpenMode::Beside).await {
        Ok(store) => store,
        Err(failure) => return vec![("store", broken(&failure))],
    };
    let mut checks = Vec::new();
    checks.push((
        "store",
        match store.check().await {
            Ok(()) => Good(format!(
                "{} can be read and written; its schema is this version's",
                settings.store_name()
            )),
            Err(error) => broken(
                &super::Failure::new(
                    "the store cannot be read and written",
                    "check the space on its disk, and that no other program locks it",
                )
                .because(&error),
            ),
        },
    ));
    checks.push((
        "owner",
        match store.system_has_owner().await {
            Ok(true) => Good("there is an owner's key".to_owned()),
            Ok(false) => Odd(
                "there is no owner yet".to_owned(),
                "the next start makes one".to_owned(),
            ),
            Err(error) => broken(
                &super::Failure::new("the keys cannot be read", "restore a backup of the store")
                    .because(&error),
            ),
        },
    ));
    store.close().await;
    checks
}

fn agents(settings: &Settings) -> Vec<Check> {
    let folder = &settings.agents.value;
    if !folder.exists() {
        let text = format!(
            "{} is made at the first start, with samples",
            folder.display()
        );
        return vec![("agents", Good(text))];
    }
    let registry = Registry::open(folder);
    let good = registry.definitions().len();
    let mut checks = vec![(
        "agents",
        if good == 0 {
            Odd(
                format!("no agent in {}", folder.display()),
                "write one; docs/agents.md says how".to_owned(),
            )
        } else {
            Good(format!("{good} in {}", folder.display()))
        },
    )];
    for problem in registry.problems() {
        let mend = "change the file there; `runyard agents check` looks again".to_owned();
        checks.push(("agents", Broken(problem.to_string(), mend)));
    }
    for warning in super::agents::missing(&registry, settings) {
        let mend = "add it to the configuration, or take it from the agent".to_owned();
        checks.push(("agents", Odd(warning.to_string(), mend)));
    }
    checks
}

async fn lanes(settings: &Settings) -> Vec<Check> {
    if settings.lanes.is_empty() {
        let found = if settings.detect_lanes {
            serve::detect_lanes(settings.listen.value.port()).await
        } else {
            Vec::new()
        };
        if found.is_empty() {
            return vec![(
                "lanes",
                Odd(
                    "no model is configured or found here: the built-in stand-in answers, which is no language model".to_owned(),
                    "set OPENAI_API_KEY or ANTHROPIC_API_KEY, start Ollama, or add [[lanes]] to the configuration".to_owned(),
                ),
            )];
        }
        let found = found
            .iter()
            .map(|lane| ("lanes", Good(format!("{} was found here", lane.name))));
        return found.collect();
    }
    let mut checks = Vec::new();
    for lane in &settings.lanes {
        checks.push(("lanes", probe(lane).await));
    }
    checks
}

async fn probe(lane: &LaneConfig) -> Found {
    match models::probe_within(lane, ANSWER_MAX).await {
        Ok(probe) => Good(format!("{}: {}", lane.name, probe.message)),
        Err(error) => Broken(format!("{}: {}", lane.name, error.what), error.mend),
    }
}

async fn tools(settings: &Settings, context: &Context) -> Vec<Check> {
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
    // A store that cannot be opened has a check of its own.
    let opened = serve::open_store(&settings.database, store::OpenMode::Beside).await;
    let logins: Arc<dyn LoginStore> = match &opened {
        Ok(store) => store.clone(),
        Err(_) => Arc::new(::tools::mcp::Unpinned),
    };
    let stores = serve::Stores {
        pins: Arc::new(::tools::mcp::Unpinned),
        logins,
        make_key: false,
        results: None,
    };
    let tools = match serve::tools(settings, &context.env, clock, stores).await {
        Ok(tools) => tools,
        Err(failure) => return vec![("tools", broken(&failure))],
    };
    let mut checks = vec![("tools", Good(tools.gateway.names().join(", ")))];
    for server in tools.servers.look(tools.gateway, START_MAX).await {
        checks.push(("mcp", mcp(&server)));
    }
    if let Ok(store) = opened {
        store.close().await;
    }
    checks
}

/// A server that is not there keeps none of ours from starting.
fn mcp(server: &ServerStatus) -> Found {
    let name = &server.name;
    let mend =
        || format!("look at [mcp.{name}] in the configuration, and run what it names by hand");
    match &server.health {
        Health::Starting => Odd(format!("{name}: it has not answered yet"), mend()),
        Health::Down { why } => Odd(format!("{name}: {why}"), mend()),
        Health::Up => {
            let protocol = server.protocol.as_deref().unwrap_or("an unknown version");
            let usable = |tool: &&ToolStatus| tool.state == ToolState::Ready;
            let (usable, all) = (
                server.tools.iter().filter(usable).count(),
                server.tools.len(),
            );
            Good(format!(
                "{name}: speaks {protocol}, {usable} of {all} tools can be used"
            ))
        }
    }
}

async fn bus(nats: &Nats) -> Found {
    match serve::connect_bus(nats, Patience::Now).await {
        Ok(_) => Good(format!("reachable (from {})", nats.url.source)),
        Err(failure) => broken(&failure),
    }
}

/// A port that a server of ours holds is as it should be.
async fn port(settings: &Settings) -> Found {
    let address = settings.listen.value;
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && is_ours(&address.to_string()).await =>
        {
            Good(format!("a Runyard server answers at {address}"))
        }
        Err(error) => broken(&serve::bind_failed(&settings.listen, &error)),
    }
}

async fn is_ours(address: &str) -> bool {
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).build();
    let Ok(client) = client else { return false };
    let url = format!("http://{address}/openapi.json");
    let Ok(response) = client.get(url).send().await else {
        return false;
    };
    let document: serde_json::Value = response.json().await.unwrap_or_default();
    document["info"]["title"]
        .as_str()
        .is_some_and(|title| title.contains("Runyard"))
}
