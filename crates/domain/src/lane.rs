//! Places where a model can run, and which of them serves a turn. Pure: health and configuration are handed in.

mod report;
mod select;

#[cfg(test)]
mod tests;

pub use report::{LaneRecent, LaneReport, LaneTraffic, Spread};
pub use select::{SERVER_KINDS, select, session_selection};

use crate::agent::{Agent, DataPolicy};
use crate::session::Client;
use serde::{Deserialize, Serialize};

/// The lane that stands for the client's device where the configuration names none.
pub const DEVICE: &str = "device";

/// What a device's model is called when neither the client nor the agent nor a lane names one.
pub const UNNAMED_MODEL: &str = "client";

/// Where the model of a lane is, seen from the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneKind {
    /// With the client.
    Device,
    /// Beside the server.
    Local,
    /// With a provider.
    Cloud,
}

/// A lane as selection sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneInfo {
    pub name: String,
    pub kind: LaneKind,
    /// Models that it names, the preferred first.
    pub models: Vec<String>,
    /// Beginnings of further names that it serves. With no model either, it takes any name.
    pub beginnings: Vec<String>,
    pub health: LaneHealth,
    /// Its share of the traffic among lanes of the same rank that have one.
    pub weight: Option<u32>,
    pub price: LanePrice,
    /// What a device must have; only asked of `device` lanes.
    pub needs: DeviceNeeds,
    /// No language model: it serves under its own name, and only where nothing else can.
    pub is_stand_in: bool,
}

/// Millionths of a US dollar for a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LanePrice {
    pub input_micro_usd: u64,
    pub output_micro_usd: u64,
}

/// What a lane's model asks of the device that runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceNeeds {
    /// Any of these; empty means every platform.
    pub platforms: Vec<String>,
    pub memory_mb: Option<u64>,
    /// Any of these; empty means that none is needed.
    pub accelerators: Vec<String>,
}

/// A circuit breaker's word on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneHealth {
    Healthy,
    /// Failing; not tried until the breaker lets a probe through.
    Open,
}

/// What an org allows its agents, whatever they ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgLanes {
    /// Only these; empty means every lane.
    pub lanes: Vec<String>,
    /// Only these; empty means every kind.
    pub kinds: Vec<LaneKind>,
    pub data_policy: DataPolicy,
    /// Dearer lanes are not used; see [`LanePrice::blended`].
    pub max_price_micro_usd: Option<u64>,
}

/// What a request wants of selection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// Models by preference; empty means any.
    pub models: Vec<String>,
    /// Lanes by preference, each by its name or, for all of a kind, by the kind's; empty means every lane in
    /// configuration order.
    pub lanes: Vec<String>,
    /// Exactly this lane, asked for by the request.
    pub pinned: Option<String>,
    /// Where the agent's content may go.
    pub data_policy: DataPolicy,
    /// Kinds that can serve here: a server-side run has no device.
    pub kinds: Vec<LaneKind>,
    /// Dearer lanes are not used.
    pub max_price_micro_usd: Option<u64>,
    pub org: OrgLanes,
    /// Absent if the client says nothing of its device.
    pub client: Option<Client>,
    /// Requests of the same key stay on the same side of a canary.
    pub sticky: Option<String>,
    /// Lanes that failed this turn after its first token.
    pub failed: Vec<String>,
}

/// The lane that a run uses, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneChoice {
    pub name: String,
    pub kind: LaneKind,
    pub model: String,
    pub reason: String,
    /// What was said of every lane when this one was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub considered: Vec<Considered>,
}

/// One lane's treatment by a selection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    pub name: String,
    pub kind: LaneKind,
    pub eligible: bool,
    #[serde(default)]
    pub verdict: LaneVerdict,
    pub reason: String,
}

/// What decided on a lane, for programs; the reason says it to people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneVerdict {
    #[default]
    Eligible,
    /// The request asks for another lane.
    NotAsked,
    /// Not among the agent's lanes.
    NotListed,
    /// The org does not allow it.
    OrgForbids,
    /// Content may not go there.
    DataPolicy,
    /// Nothing here can serve it: the device of a run without a client.
    Unreachable,
    TooDear,
    /// The client's device does not have what it needs.
    DeviceLacks,
    /// It serves none of the models.
    NoModel,
    /// It is no language model, and others can serve.
    StandIn,
    /// Tried, and passed over.
    Failed,
}

/// Lanes that may serve, best first, and what was said of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Without what was considered, which `choose` adds.
    pub candidates: Vec<LaneChoice>,
    pub considered: Vec<Considered>,
}

impl Selection {
    /// The best lane with what was said of all.
    pub fn choose(self) -> Result<LaneChoice, Vec<Considered>> {
        match self.candidates.into_iter().next() {
            Some(choice) => Ok(LaneChoice {
                considered: self.considered,
                ..choice
            }),
            None => Err(self.considered),
        }
    }
}

impl Wishes {
    /// What the agent asks for, of the kinds that can serve.
    pub fn of(agent: &Agent, kinds: &[LaneKind]) -> Self {
        Self {
            models: agent.models.clone(),
            lanes: agent.lanes.clone(),
            data_policy: agent.data_policy,
            kinds: kinds.to_vec(),
            max_price_micro_usd: agent.budget.max_price_micro_usd,
            ..Self::default()
        }
    }
}

impl LanePrice {
    /// One figure for comparing lanes: three tokens are read for each one written.
    pub fn blended(self) -> u64 {
        let sum = u128::from(self.input_micro_usd) * 3 + u128::from(self.output_micro_usd);
        u64::try_from(sum / 4).unwrap_or(u64::MAX)
    }
}

impl LaneKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Local => "local",
            Self::Cloud => "cloud",
        }
    }
}

impl LaneInfo {
    /// A healthy lane that names nothing else.
    pub fn new(name: impl Into<String>, kind: LaneKind) -> Self {
        Self {
            name: name.into(),
            kind,
            models: Vec::new(),
            beginnings: Vec::new(),
            health: LaneHealth::Healthy,
            weight: None,
            price: LanePrice::default(),
            needs: DeviceNeeds::default(),
            is_stand_in: false,
        }
    }

    /// Whether a model of this name may be asked of it.
    pub fn serves(&self, model: &str) -> bool {
        (self.models.is_empty() && self.beginnings.is_empty())
            || self.models.iter().any(|name| name == model)
            || self
                .beginnings
                .iter()
                .any(|beginning| model.starts_with(beginning))
    }
}
