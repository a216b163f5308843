//! Why a run ended badly, as data that is stored and shown.

use serde::{Deserialize, Serialize};

/// The stable code of a run's failure (`error.code` of the run and of its `error` event).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// No lane could serve the turn: none configured for the model, all failing, or retries used up.
    ModelUnavailable,
    /// The provider refused the request in a way that repeating cannot mend.
    ModelRejected,
    /// The provider's spend or quota limit; not retried.
    ModelQuotaExhausted,
    /// The conversation no longer fits the model's context.
    ContextOverflow,
    /// The model answered with more than the limit allows.
    OutputTooLarge,
    /// The model kept sending tool calls that cannot be read.
    MalformedToolCalls,
    BudgetSteps,
    BudgetTokens,
    BudgetCost,
    BudgetTime,
    /// The run killed its worker too often and was set aside.
    Poisoned,
    SessionExpired,
    /// A person decided that a call of unknown outcome stops the run.
    StoppedByApprover,
    /// The agent's stored definition is gone or unreadable.
    AgentMissing,
    Internal,
}

/// A failure fit to be shown to the run's owner: no secrets, no addresses, no provider payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    pub message: String,
}

impl Failure {
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
