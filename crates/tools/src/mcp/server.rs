//! One declared server: its links, one for each set of credentials, and what of it is offered to agents.

use super::link::{Link, State};
use super::offer::Rules;
pub use super::offer::{ToolState, ToolStatus};
use super::source;
use crate::gateway::Gateway;
use domain::OrgId;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::clock::Clock;
use domain::ports::store::PinStore;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(super) struct Server {
    pub name: String,
    pub rules: Rules,
    /// The first is the one whose list counts.
    pub links: Vec<Link>,
    pub by_org: BTreeMap<OrgId, usize>,
    pub permits: Semaphore,
    pub pins: Arc<dyn PinStore>,
    pub clock: Arc<dyn Clock>,
    pub gateway: Mutex<Weak<Gateway>>,
    pub offered: Mutex<Offered>,
    /// This very value, for the executors that it makes.
    pub itself: Weak<Server>,
}

/// What was last offered to agents.
#[derive(Default)]
pub(super) struct Offered {
    pins: Vec<ToolPin>,
    statuses: Vec<ToolStatus>,
    /// The last list could not be compared with what is trusted.
    is_unsure: bool,
}

/// What is known of a server now.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    pub name: String,
    pub health: Health,
    /// The version of the protocol that is spoken.
    pub protocol: Option<String>,
    pub tools: Vec<ToolStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Starting,
    Up,
    Down { why: String },
}

impl Server {
    /// The link that an org's calls go over.
    pub(super) fn link(&self, org: &OrgId) -> Result<&Link, String> {
        match self.by_org.get(org) {
            Some(index) => Ok(&self.links[*index]),
            None if self.rules.config.orgs_only => Err(format!(
                "this organisation has no credentials for the MCP server `{}`",
                self.name
            )),
            None => Ok(&self.links[0]),
        }
    }

    /// Offers what was trusted before, without asking the server; so runs that were interrupted find their tools.
    pub(super) fn remember(&self, known: Vec<ToolPin>, gateway: &Arc<Gateway>) {
        *self.gateway.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(gateway);
        self.offer(known);
    }

    /// Keeps every link up until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let links = self.links.iter().enumerate();
        let running = links.map(|(index, link)| link.run((index == 0).then_some(self), stop));
        futures::future::join_all(running).await;
    }

    /// The server told its tools: they are compared with what is trusted, and the trusted ones offered.
    pub(super) async fn listed(&self, offers: &[ToolOffer]) {
        let wanted = offers.iter().filter(|offer| self.rules.wants(&offer.name));
        let wanted: Vec<ToolOffer> = wanted.cloned().collect();
        let seen = self
            .pins
            .system_see_tools(&self.name, &wanted, self.clock.now())
            .await;
        match seen {
            Ok(pins) => self.offer(pins),
            // What was offered stays: each call is compared with its trusted definition anyway.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                self.offered().is_unsure = true;
                tracing::warn!(mcp.server = %self.name, error, "an MCP server's tools could not be compared with those that are trusted");
            }
        }
    }

    fn offer(&self, mut pins: Vec<ToolPin>) {
        pins.sort_by(|one, other| one.trusted.name.cmp(&other.trusted.name));
        {
            let mut offered = self.offered();
            offered.is_unsure = false;
            if offered.pins == pins {
                return;
            }
        }
        let gateway = self
            .gateway
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade();
        let (Some(gateway), Some(itself)) = (gateway, self.itself.upgrade()) else {
            return;
        };
        let source = source(&self.name);
        let taken = |name: &str| gateway.is_taken(&source, name);
        let (tools, statuses) = self.rules.tools(&itself, &pins, &taken);
        for status in &statuses {
            self.tell(status);
        }
        if let Err(error) = gateway.replace(&source, tools) {
            tracing::warn!(mcp.server = %self.name, "an MCP server's tools are not offered: {error}");
            return;
        }
        *self.offered() = Offered {
            pins,
            statuses,
            is_unsure: false,
        };
    }

    fn tell(&self, status: &ToolStatus) {
        match &status.state {
            ToolState::Ready => {}
            ToolState::Changed { digest } => tracing::warn!(
                mcp.server = %self.name, tool.name = ?status.tool,
                "an MCP server changed what a tool is, so it is withheld; `runyard mcp accept {} {} {digest}` trusts the new definition",
                self.name, status.tool,
            ),
            ToolState::Unusable { why } => tracing::warn!(
                mcp.server = %self.name, tool.name = ?status.tool,
                "a tool of an MCP server is not offered: {why}"
            ),
        }
    }

    /// Whether a definition waits to be accepted, or to be compared.
    pub(super) fn withholds(&self) -> bool {
        let changed = |status: &ToolStatus| matches!(status.state, ToolState::Changed { .. });
        let offered = self.offered();
        offered.is_unsure || offered.statuses.iter().any(changed)
    }

    fn offered(&self) -> std::sync::MutexGuard<'_, Offered> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the first attempt to reach it has ended.
    pub(super) async fn settled(&self) {
        let mut states = self.links[0].state.subscribe();
        let _ = states
            .wait_for(|state| !matches!(state, State::Starting))
            .await;
    }

    pub(super) fn status(&self) -> ServerStatus {
        let (health, protocol) = match &*self.links[0].state.borrow() {
            State::Starting => (Health::Starting, None),
            State::Down(why) | State::Shut(why) => (Health::Down { why: why.clone() }, None),
            State::Up(up) => {
                let version = up.connection.version();
                (
                    Health::Up,
                    version.map(|version| version.as_str().to_owned()),
                )
            }
        };
        ServerStatus {
            name: self.name.clone(),
            health,
            protocol,
            tools: self.offered().statuses.clone(),
        }
    }
}
