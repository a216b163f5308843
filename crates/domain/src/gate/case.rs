//! A decision that a person marked as wrong: a case that every later version of the gate is put to.

use super::{GateInput, GateVerdict};
use crate::key::Principal;
use crate::{RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// One for each gate step; marking it again replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCase {
    pub agent_type: String,
    /// The version whose gate decided.
    pub agent_version: String,
    pub run_id: RunId,
    pub step_index: u32,
    pub input: GateInput,
    pub decided: GateVerdict,
    /// What would have been right.
    pub label: GateVerdict,
    pub note: Option<String>,
    pub by: Principal,
    pub at: Timestamp,
}
