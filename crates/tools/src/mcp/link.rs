//! One connection to a server, kept up: opened, watched, and opened again after a while when it ends. It does not know
//! what is trusted of what the server offers.

use super::config::Protocol;
use super::connection::Connection;
use super::oauth::Authorized;
use super::process::Program;
use super::remote::{Remote, behind};
use super::server::Server;
use crate::limits;
use domain::OrgId;
use domain::pin::ToolOffer;
use domain::ports::clock::Clock;
use rmcp::service::ClientInitializeError;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How a server is reached.
pub(super) enum Reach {
    Program(Program),
    Remote(Remote),
}

pub(super) struct Link {
    pub server: String,
    /// Whose credentials these are; `None` for the server's own.
    pub org: Option<OrgId>,
    pub reach: Reach,
    pub protocol: Protocol,
    pub connect_timeout: Duration,
    pub refresh: Duration,
    pub clock: Arc<dyn Clock>,
    pub state: watch::Sender<State>,
    /// Somebody calls: a connection that nobody uses need not be.
    pub wanted: Notify,
    /// A server that took offence at being asked for its era is not asked again.
    pub is_legacy: AtomicBool,
}

#[derive(Clone)]
pub(super) enum State {
    /// Nobody asked for it yet, or the first attempt is under way.
    Starting,
    Up(Arc<Up>),
    /// Why it is not up; it will be tried again.
    Down(String),
    /// Why it is not up, and will not be before a person does something.
    Shut(String),
}

/// An open connection, and what the server offered on it.
pub(super) struct Up {
    pub connection: Arc<Connection>,
    pub offers: Vec<ToolOffer>,
    /// Of the offers, by name.
    digests: HashMap<String, String>,
}

impl Up {
    fn new(connection: Arc<Connection>, offers: Vec<ToolOffer>) -> Arc<Self> {
        let digests = offers
            .iter()
            .map(|offer| (offer.name.clone(), offer.digest()));
        Arc::new(Self {
            connection,
            digests: digests.collect(),
            offers,
        })
    }

    /// The digest of what the server says that this tool is.
    pub fn digest(&self, tool: &str) -> Option<&str> {
        self.digests.get(tool).map(String::as_str)
    }
}

/// A connection that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// How often what a person accepted is looked for, while something is withheld.
const RECONSIDER: Duration = Duration::from_secs(3);

impl Link {
    /// The connection, once it is there; why it is not, if it will not be soon.
    pub(super) async fn up(&self, limit: Duration) -> Result<Arc<Up>, String> {
        self.wanted.notify_one();
        let mut states = self.state.subscribe();
        let until = Instant::now() + limit.min(limits::MCP_START_WAIT);
        let mut patience = limits::MCP_RESTART_WAIT;
        loop {
            let why = match &*states.borrow_and_update() {
                State::Up(up) if !up.connection.is_over() => return Ok(Arc::clone(up)),
                State::Up(_) => "its connection has just ended".to_owned(),
                State::Down(why) => why.clone(),
                State::Shut(why) => return Err(why.clone()),
                State::Starting => {
                    patience = limits::MCP_START_WAIT;
                    "it is still being started".to_owned()
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            if !matches!(
                timeout(left.min(patience), states.changed()).await,
                Ok(Ok(()))
            ) {
                return Err(why);
            }
        }
    }

    /// Keeps it up until `stop`. What is listed on it goes to `lister`, if this is the link that lists.
    pub(super) async fn run(&self, lister: Option<&Server>, stop: &CancellationToken) {
        if lister.is_none() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wanted.notified() => {}
            }
        }
        let mut failures: u32 = 0;
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return,
                opened = timeout(self.connect_timeout, self.open()) => opened,
            };
            match opened {
                Ok(Ok(up)) => {
                    let began = Instant::now();
                    // Whoever sees it up finds its tools.
                    if let Some(server) = lister {
                        server.listed(&up.offers).await;
                    }
                    self.state.send_replace(State::Up(Arc::clone(&up)));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.watch(up, lister) => {}
                    }
                    failures = if began.elapsed() > GOOD {
                        0
                    } else {
                        failures + 1
                    };
                    self.down("the connection ended".to_owned());
                }
                Ok(Err(why)) => {
                    failures += 1;
                    self.down(why);
                }
                Err(_) => {
                    failures += 1;
                    let seconds = self.connect_timeout.as_secs_f64();
                    self.down(format!("it did not answer within {seconds:.1} s"));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rest(failures) => {}
            }
        }
    }

    /// Before the next attempt: a while that grows, or until somebody has logged in.
    async fn rest(&self, failures: u32) {
        let Some(mut why) = self.logged_out().await else {
            return sleep(self.pause(failures)).await;
        };
        loop {
            self.fall(State::Shut(why));
            sleep(RECONSIDER).await;
            match self.logged_out().await {
                Some(still) => why = still,
                None => return,
            }
        }
    }

    /// What only a person's login mends.
    async fn logged_out(&self) -> Option<String> {
        match &self.reach {
            Reach::Remote(remote) => remote.tokens.as_ref()?.logged_out().await,
            Reach::Program(_) => None,
        }
    }

    /// Told once, however often it is found again.
    fn down(&self, why: String) {
        self.fall(State::Down(why));
    }

    fn fall(&self, to: State) {
        let (State::Down(why) | State::Shut(why)) = &to else {
            return;
        };
        let is_known = matches!(&*self.state.borrow(), State::Down(known) | State::Shut(known) if known == why);
        if !is_known {
            let org = self.org.as_ref().map(OrgId::as_str);
            tracing::warn!(mcp.server = %self.server, org.id = org, "an MCP server is not usable: {why}");
        }
        self.state.send_replace(to);
    }

    async fn open(&self) -> Result<Arc<Up>, String> {
        let protocol = match self.protocol {
            Protocol::Auto if self.is_legacy.load(Ordering::Relaxed) => Protocol::Legacy,
            protocol => protocol,
        };
        let opened = match &self.reach {
            Reach::Program(program) => {
                let process = program
                    .start(&self.server, self.org.as_ref())
                    .map_err(|error| format!("`{}` cannot be started: {error}", program.command))?;
                Connection::open(process, protocol).await
            }
            Reach::Remote(remote) => {
                let client = remote.client().map_err(|error| error.to_string())?;
                match &remote.tokens {
                    Some(tokens) => {
                        // Asked for first, because what is missing is best said before anything else goes wrong.
                        let token = tokens.token(None).await;
                        token.map_err(|error| error.to_string())?;
                        let client = Authorized {
                            client,
                            tokens: Arc::clone(tokens),
                        };
                        Connection::open(remote.transport(client), protocol).await
                    }
                    None => Connection::open(remote.transport(client), protocol).await,
                }
            }
        };
        let connection = opened.map_err(|error| {
            if self.protocol == Protocol::Auto {
                self.is_legacy.fetch_xor(true, Ordering::Relaxed);
            }
            self.told(&error)
        })?;
        let offers = connection.offers().await;
        let offers = offers.map_err(|error| format!("it does not tell its tools: {error}"))?;
        Ok(Up::new(Arc::new(connection), offers))
    }

    /// Until the connection ends: hears of changes, and looks now and then whether there are some.
    async fn watch(&self, up: Arc<Up>, lister: Option<&Server>) {
        let connection = Arc::clone(&up.connection);
        let mut offers = up.offers.clone();
        let mut listed = Instant::now();
        loop {
            let is_waiting = lister.is_some_and(Server::withholds);
            let reconsider = if is_waiting { RECONSIDER } else { self.refresh };
            let is_changed = tokio::select! {
                () = connection.over() => return,
                () = connection.changed() => true,
                () = sleep(reconsider.min(self.refresh)) => listed.elapsed() >= self.refresh,
            };
            if is_changed {
                match timeout(self.connect_timeout, connection.offers()).await {
                    Ok(Ok(new)) => {
                        listed = Instant::now();
                        offers = new;
                        let up = Up::new(Arc::clone(&connection), offers.clone());
                        self.state.send_replace(State::Up(up));
                    }
                    // It is no use if it cannot even tell its tools.
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            if let Some(server) = lister {
                server.listed(&offers).await;
            }
        }
    }

    /// Doubles with every failure, up to a minute, and is spread so that servers that died together do not start
    /// together.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = limits::MCP_RETRY_FIRST.saturating_mul(1 << failures.min(10));
        let longest = doubled.min(limits::MCP_RETRY_MAX);
        let random = self.clock.uuid().as_u128() & 0xffff;
        let share = 0.5 + 0.5 * f64::from(u32::try_from(random).unwrap_or(0)) / 65_535.0;
        longest.mul_f64(share)
    }

    /// What went wrong, for the operator. Never what the server sent.
    fn told(&self, error: &ClientInitializeError) -> String {
        let mut at = Some(cause(error));
        while let Some(cause) = at {
            if let Some(refused) = crate::egress::refusal(cause) {
                return format!("egress refused: {refused}");
            }
            at = behind(cause);
        }
        let ended = || "it ended before it answered the handshake".to_owned();
        match error {
            ClientInitializeError::ConnectionClosed(_) => ended(),
            ClientInitializeError::JsonRpcError(error) => {
                format!("it refused the handshake with code {}", error.code.0)
            }
            ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
                "it speaks no version of the protocol that is known here".to_owned()
            }
            error if error.is_authorization_required() => "it asks for credentials".to_owned(),
            ClientInitializeError::TransportError { .. } => match self.reach {
                // Its input may be found closed before its output is.
                Reach::Program(_) => ended(),
                Reach::Remote(_) => "it cannot be reached".to_owned(),
            },
            _ => "its answer to the handshake is not one".to_owned(),
        }
    }
}

/// rmcp names the transport's error in its text, but not as its source.
fn cause(error: &ClientInitializeError) -> &(dyn Error + 'static) {
    match error {
        ClientInitializeError::TransportError { error, .. } => error,
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => cause(fallback),
        other => other,
    }
}
