//! The rules of intent gates, made ready and searched. Which follows from a match is `domain::gate`'s.

use crate::agent::Agent;
use crate::gate::{GateError, GateInput, GateSettings};
use std::sync::Arc;

pub trait GateRules: Send + Sync {
    /// The agent's gate with its rules made ready; quick for an agent that was seen before.
    ///
    /// # Errors
    /// If the agent has no gate, or one whose settings or patterns cannot be used.
    fn prepare(&self, agent: &Agent) -> Result<Arc<dyn PreparedGate>, GateError>;
}

pub trait PreparedGate: Send + Sync {
    fn settings(&self) -> &GateSettings;

    /// The first rule that matches; `None` if none does. In time linear in the input.
    fn first_match(&self, input: &GateInput) -> Option<usize>;
}
