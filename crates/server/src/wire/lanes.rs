//! Lanes as people look at them: no address, no key, nothing of another org.

use super::runs::LaneKind;
use super::sessions::Client;
use super::usage::{Usage, dollars};
use domain::lane::{
    Considered, LaneChoice, LaneHealth as Health, LaneReport, LaneVerdict as Verdict, Selection,
    Spread,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct LaneList {
    /// In the order of the configuration.
    pub lanes: Vec<LaneStatus>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LaneStatus {
    #[schema(example = "cloud")]
    pub name: String,
    pub kind: LaneKind,
    /// The provider's language; `null` where this server calls nothing.
    #[schema(example = "openai-chat")]
    pub wire: Option<String>,
    /// Models that are named; empty means any.
    pub models: Vec<String>,
    pub health: LaneHealth,
    /// Milliseconds left of a pause that the provider asked for.
    pub rests_ms: u64,
    /// Its share of the traffic among lanes that have one; `null` if it goes by order.
    pub weight: Option<u32>,
    pub price: LanePrice,
    /// Turns at once; `null` if not limited.
    pub max_concurrency: Option<usize>,
    pub traffic: LaneTraffic,
    pub latency: LaneLatency,
}

/// A lane and what was said of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsideredLane {
    #[schema(example = "cloud")]
    pub name: String,
    pub kind: LaneKind,
    pub eligible: bool,
    /// What decided, for programs.
    pub verdict: LaneVerdict,
    #[schema(example = "data policy of the agent: content may not leave the client's device")]
    pub reason: String,
}

/// `not_asked`: the request asks for another. `not_listed`: not among the agent's. `org_forbids`, `data_policy`,
/// `too_dear`: not allowed. `unreachable`: nothing here can serve it. `device_lacks`: the client's device is too weak.
/// `no_model`: it serves none of the models. `stand_in`: no language model. `failed`: tried and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneVerdict {
    Eligible,
    NotAsked,
    NotListed,
    OrgForbids,
    DataPolicy,
    Unreachable,
    TooDear,
    DeviceLacks,
    NoModel,
    StandIn,
    Failed,
}

/// What the circuit breaker says of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneHealth {
    Healthy,
    /// Failing of late; others come first until a try succeeds.
    Open,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct LanePrice {
    #[schema(example = 0.25)]
    pub input_usd: f64,
    #[schema(example = 2.0)]
    pub output_usd: f64,
}

/// Counts are of your org, since this process of the server began.
#[derive(Debug, Serialize, ToSchema)]
pub struct LaneTraffic {
    /// Attempts that were answered.
    pub answered: u64,
    /// Attempts that failed in a way that tells against the lane.
    pub failed: u64,
    pub usage: Usage,
    /// Attempts under way, of everybody.
    pub in_flight: u64,
}

/// Of the last attempts of everybody, at most 1,000; `null` before there are any.
#[derive(Debug, Serialize, ToSchema)]
pub struct LaneLatency {
    pub attempts: u64,
    /// Failed of them, 0 to 1.
    #[schema(example = 0.01)]
    pub error_rate: Option<f64>,
    /// From sending to the first word.
    pub first_token_p50_ms: Option<f64>,
    pub first_token_p99_ms: Option<f64>,
    /// From sending to the end of the answer.
    pub turn_p50_ms: Option<f64>,
    pub turn_p99_ms: Option<f64>,
}

impl From<LaneReport> for LaneStatus {
    fn from(report: LaneReport) -> Self {
        let recent = report.recent;
        let p50 = |spread: Option<Spread>| spread.map(|spread| millis(spread.p50_us));
        let p99 = |spread: Option<Spread>| spread.map(|spread| millis(spread.p99_us));
        Self {
            name: report.info.name,
            kind: report.info.kind.into(),
            wire: report.wire.map(str::to_owned),
            models: report.info.models,
            health: report.info.health.into(),
            rests_ms: report.rests_ms,
            weight: report.info.weight,
            price: LanePrice {
                input_usd: dollars(report.info.price.input_micro_usd),
                output_usd: dollars(report.info.price.output_micro_usd),
            },
            max_concurrency: report.max_concurrency,
            traffic: LaneTraffic {
                answered: report.traffic.answered,
                failed: report.traffic.failed,
                usage: report.traffic.usage.into(),
                in_flight: report.in_flight,
            },
            latency: LaneLatency {
                attempts: recent.attempts,
                error_rate: recent.failed_per_mille().map(thousandths),
                first_token_p50_ms: p50(recent.first_token),
                first_token_p99_ms: p99(recent.first_token),
                turn_p50_ms: p50(recent.turn),
                turn_p99_ms: p99(recent.turn),
            },
        }
    }
}

impl From<Considered> for ConsideredLane {
    fn from(said: Considered) -> Self {
        Self {
            name: said.name,
            kind: said.kind.into(),
            eligible: said.eligible,
            verdict: said.verdict.into(),
            reason: said.reason,
        }
    }
}

impl From<Verdict> for LaneVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Eligible => Self::Eligible,
            Verdict::NotAsked => Self::NotAsked,
            Verdict::NotListed => Self::NotListed,
            Verdict::OrgForbids => Self::OrgForbids,
            Verdict::DataPolicy => Self::DataPolicy,
            Verdict::Unreachable => Self::Unreachable,
            Verdict::TooDear => Self::TooDear,
            Verdict::DeviceLacks => Self::DeviceLacks,
            Verdict::NoModel => Self::NoModel,
            Verdict::StandIn => Self::StandIn,
            Verdict::Failed => Self::Failed,
        }
    }
}

impl From<Health> for LaneHealth {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Open => Self::Open,
        }
    }
}

/// To a hundredth of a millisecond: what is finer is noise.
fn millis(micros: u64) -> f64 {
    thousandths(micros.div_ceil(10)) * 10.0
}

#[expect(clippy::cast_precision_loss, reason = "no attempt takes an age")]
fn thousandths(count: u64) -> f64 {
    count as f64 / 1_000.0
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"agent_type": "deployment_advisor", "client": {"platform": "android", "memory_mb": 8192, "models": ["phi-4-mini"]}}))]
pub struct ExplainLanes {
    #[schema(example = "deployment_advisor")]
    pub agent_type: String,
    #[serde(default)]
    pub subject: Subject,
    /// The model that would be asked for.
    pub model: Option<String>,
    /// The lane that would be asked for.
    pub lane: Option<String>,
    pub client: Option<Client>,
    /// Whose side of a canary is wanted; as `metadata.user_id` of a run.
    pub user_id: Option<String>,
}

/// `session`: the model may run with the client. `run`: it runs here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    #[default]
    Session,
    Run,
}

/// The lanes that may serve, best first, and what was said of each.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The first is taken; a later one if those before it fail.
    pub candidates: Vec<Candidate>,
    pub considered: Vec<ConsideredLane>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Candidate {
    #[schema(example = "device")]
    pub name: String,
    pub kind: LaneKind,
    #[schema(example = "phi-4-mini")]
    pub model: String,
    pub reason: String,
}

impl From<Selection> for Explanation {
    fn from(selection: Selection) -> Self {
        let candidate = |choice: LaneChoice| Candidate {
            name: choice.name,
            kind: choice.kind.into(),
            model: choice.model,
            reason: choice.reason,
        };
        Self {
            candidates: selection.candidates.into_iter().map(candidate).collect(),
            considered: selection.considered.into_iter().map(Into::into).collect(),
        }
    }
}
