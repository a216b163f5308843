//! `runyard mcp login`, `logout` and `logins`: OAuth at MCP servers, directly in the store, also while a server runs on it.

use crate::cli::terminal::{brief, note, say};
use crate::cli::{Context, Failure, Outcome};
use crate::clock::StoreClock;
use crate::config::{self, Flags, Places};
use crate::serve;
use ::tools::mcp::oauth::{Account, Login, LoginError, LoginState, Logins, login_state};
use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Html;
use axum::routing::get;
use clap::Args;
use comfy_table::Table;
use domain::audit::{Actor, Deed, Entry};
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use domain::{OrgId, OrgScope};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Which login.
#[derive(Debug, Args)]
pub struct Which {
    /// Name of the server in the configuration
    server: String,
    /// The org that the login is for; without it, all orgs that have none of their own
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    places: Places,
}

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(600);

/// Everything that logins take, from the configuration and the store.
struct Desk {
    store: Arc<dyn Store>,
    servers: ::tools::mcp::Servers,
}

impl Desk {
    async fn open(places: Places, context: &Context, make_key: bool) -> Result<Self, Failure> {
        let settings = config::load(&Flags::from(places), &context.env, &context.here)?;
        if make_key {
            serve::prepare_folder(&settings.data.value)?;
        }
        let store = serve::open_store(&settings.database, store::OpenMode::Beside).await?;
        let stores = serve::Stores {
            pins: store.clone(),
            logins: store.clone(),
            make_key,
            results: None,
        };
        let clock = Arc::new(StoreClock::of(&*store).await);
        let servers = serve::tools(&settings, &context.env, clock, stores)
            .await?
            .servers;
        Ok(Self { store, servers })
    }

    fn account(&self, server: &str, org: Option<&str>) -> Result<Account, Failure> {
        let id = org.map(OrgId::new).transpose().map_err(|error| {
            Failure::new(
                "that is no name of an org",
                "take the name that its keys were made with",
            )
            .because(&error)
        })?;
        self.servers.account(server, id.as_ref()).ok_or_else(|| match org {
            Some(org) => Failure::new(
                format!("{server} takes no login of the org {org}"),
                format!("the configuration needs `oauth = {{}}` in [mcp.{server}] and a table [mcp.{server}.orgs.{org}]"),
            ),
            None => Failure::new(
                format!("{server} takes no login for all orgs"),
                format!("the configuration needs a server [mcp.{server}] with a `url` and `oauth = {{}}`, and not `orgs_only`"),
            ),
        })
    }
}

/// Prints a page to open, waits for the browser to come back to this machine, and keeps the login.
pub async fn login(which: Which, port: u16, context: &Context) -> Outcome {
    let desk = Desk::open(which.places, context, true).await?;
    let account = desk.account(&which.server, which.org.as_deref())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            format!("port {port} cannot be listened on"),
            "leave --port away, or name a free one",
        )
        .because(&error)
    })?;
    let address = listener.local_addr().unwrap_or(address);
    let redirect = format!("http://{address}/callback");
    let begun = Login::begin(&account, &redirect)
        .await
        .map_err(|error| failed(&error))?;
    say("Open this page in a browser on this machine, within ten minutes:");
    say(&format!("  {}", begun.page()));
    note(&format!(
        "from another machine, forward the port first: ssh -L {0}:127.0.0.1:{0} …",
        address.port()
    ));
    let (came, mut coming) = mpsc::channel::<String>(1);
    let router = Router::new().route("/callback", get(back)).with_state(came);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let came_back = tokio::time::timeout(PATIENCE, coming.recv()).await;
    let finished = match came_back {
        Ok(Some(query)) => {
            let at = format!("http://{address}{query}");
            begun.finish(&at).await.map_err(|error| failed(&error))
        }
        Ok(None) | Err(_) => Err(Failure::new(
            "nobody came back from the browser",
            "run the command again and open the page that it prints",
        )),
    };
    if finished.is_ok() {
        let server = which.server.clone();
        record(&*desk.store, &account, Deed::McpLoggedIn { server }).await?;
    }
    // The browser is still being told.
    tokio::time::sleep(Duration::from_millis(100)).await;
    serving.abort();
    desk.store.close().await;
    finished?;
    say(&format!(
        "Logged in at {}; a running server uses it within seconds.",
        which.server
    ));
    Ok(ExitCode::SUCCESS)
}

/// Joins the record of the login's org, or of every org.
async fn record(store: &dyn Store, account: &Account, deed: Deed) -> Result<(), Failure> {
    let orgs = match &account.of.org {
        Some(org) => vec![org.clone()],
        None => store.system_list_orgs().await.map_err(super::failed)?,
    };
    let at = StoreClock::of(store).await.now();
    for org in orgs {
        let actor = Actor::Operator;
        let entry = Entry {
            at,
            actor,
            deed: deed.clone(),
        };
        let noted = store.append_audit(&OrgScope::new(org), &[entry]).await;
        noted.map_err(super::failed)?;
    }
    Ok(())
}

/// Where the browser comes back to. What it brings is judged at the terminal.
async fn back(State(came): State<mpsc::Sender<String>>, uri: Uri) -> Html<&'static str> {
    let _ = came.try_send(uri.to_string());
    Html(
        "<!doctype html><meta charset=utf-8><title>Runyard</title><body style=\"font:16px system-ui;margin:4rem auto;max-width:30rem\"><p>The terminal has the answer. This page can be closed.",
    )
}

fn failed(error: &LoginError) -> Failure {
    let mend = match error {
        LoginError::NotOffered | LoginError::NotRegistered(_) => {
            "docs/tools.md says what a server's login takes"
        }
        LoginError::Unusable(_) | LoginError::NoToken(_) => {
            "look at the server's own documentation, and at `[egress]` if its addresses are private"
        }
        LoginError::Refused(_) | LoginError::Strange(_) => {
            "run the command again and open the page that it prints"
        }
    };
    Failure::new("nobody was logged in", mend).because(error)
}

pub async fn logout(which: Which, context: &Context) -> Outcome {
    let desk = Desk::open(which.places, context, false).await?;
    let account = desk.account(&which.server, which.org.as_deref())?;
    let deleted = desk.store.system_delete_login(&account.of).await;
    let deleted = deleted.map_err(super::failed)?;
    if deleted {
        let server = which.server.clone();
        record(&*desk.store, &account, Deed::McpLoggedOut { server }).await?;
    }
    desk.store.close().await;
    match deleted {
        true => say(&format!(
            "Logged out of {}. The server itself was not told: revoke the access there too.",
            which.server
        )),
        false => note("nobody was logged in"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every login that the configuration knows, and how it stands.
pub async fn logins(as_json: bool, places: Places, context: &Context) -> Outcome {
    let desk = Desk::open(places, context, false).await?;
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["SERVER", "ORG", "STATE", "SINCE", "SCOPES"]);
    for account in desk.servers.accounts() {
        let logins: &Logins = account.logins();
        let state = login_state(logins, &account.of)
            .await
            .map_err(super::failed)?;
        let (word, since, until, scopes) = match state {
            LoginState::None => ("logged out", None, None, Vec::new()),
            LoginState::Sealed => ("sealed with another key", None, None, Vec::new()),
            LoginState::In {
                since,
                until,
                scopes,
            } => ("logged in", Some(since), until, scopes),
        };
        let org = account.of.org.as_ref().map(ToString::to_string);
        if as_json {
            let line = json!({
                "server": account.of.server, "org": org, "state": word, "since": since, "until": until, "scopes": scopes,
            });
            say(&line.to_string());
            continue;
        }
        let word = match until {
            Some(until) => format!(
                "{word} until {}",
                until.to_string().chars().take(16).collect::<String>()
            ),
            None => word.to_owned(),
        };
        let since: String = since
            .map(|since| since.to_string())
            .unwrap_or_default()
            .chars()
            .take(16)
            .collect();
        table.add_row([
            brief(&account.of.server, 32),
            brief(&org.unwrap_or_else(|| "(all)".to_owned()), 40),
            word,
            since,
            brief(&scopes.join(" "), 60),
        ]);
    }
    desk.store.close().await;
    if !as_json {
        say(&table.trim_fmt());
    }
    Ok(ExitCode::SUCCESS)
}
