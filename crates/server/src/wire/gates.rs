//! Intent gates' decisions and what people say of them, on the wire.

use super::principal::Principal;
use crate::trial::Case;
use domain::gate::{self, GateVerdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"label": "allow", "note": "It asks about a rollout in other words."}))]
pub struct OverruleGate {
    /// What the decision should have been.
    pub label: GateLabel,
    /// The gate's step; the last one if absent.
    pub step_index: Option<u32>,
    #[schema(max_length = 2_000)]
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateLabel {
    Allow,
    Clarify,
    Refuse,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GateCasesQuery {
    /// The agent whose gate decided.
    pub agent_type: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GateCaseList {
    pub cases: Vec<GateCase>,
}

/// A decision that somebody marked as wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateCase {
    #[schema(format = "uuid")]
    pub run_id: String,
    pub step_index: u32,
    pub agent_type: String,
    /// The version whose gate decided.
    pub agent_version: String,
    pub decided: GateLabel,
    pub label: GateLabel,
    pub by: Principal,
    #[schema(format = "date-time")]
    pub at: String,
    /// A line of a cases file.
    #[schema(value_type = Object)]
    pub case: Value,
}

impl From<gate::GateCase> for GateCase {
    fn from(case: gate::GateCase) -> Self {
        let line = Case {
            input: case.input.text,
            before: case.input.before,
            label: case.label,
            group: "overruled".to_owned(),
            split: String::new(),
            note: case.note,
        };
        Self {
            run_id: case.run_id.to_string(),
            step_index: case.step_index,
            agent_type: case.agent_type,
            agent_version: case.agent_version,
            decided: case.decided.into(),
            label: case.label.into(),
            by: case.by.into(),
            at: case.at.to_string(),
            case: json!(line),
        }
    }
}

impl From<GateVerdict> for GateLabel {
    fn from(verdict: GateVerdict) -> Self {
        match verdict {
            GateVerdict::Allow => Self::Allow,
            GateVerdict::Clarify => Self::Clarify,
            GateVerdict::Refuse => Self::Refuse,
        }
    }
}

impl From<GateLabel> for GateVerdict {
    fn from(label: GateLabel) -> Self {
        match label {
            GateLabel::Allow => Self::Allow,
            GateLabel::Clarify => Self::Clarify,
            GateLabel::Refuse => Self::Refuse,
        }
    }
}
