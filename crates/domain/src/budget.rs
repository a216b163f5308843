//! Ceilings of an org's and an agent's day. What a turn may take is taken beforehand and corrected afterwards, so that
//! many turns at once cannot pass a ceiling together.

use crate::Timestamp;
use crate::failure::{Failure, FailureCode};
use serde::{Deserialize, Serialize};

/// Ceilings of one day in UTC; an absent one does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayBudget {
    /// Model turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_micro_usd: Option<u64>,
}

impl DayBudget {
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose day it is, and what a turn of theirs may cost them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub agent_type: String,
    pub daily: DayBudget,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spend {
    pub steps: u64,
    pub tokens: u64,
    pub cost_micro_usd: u64,
}

/// What is taken from one or more days at once, or from none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Days since 1970.
    pub day: i64,
    pub of: Vec<(Subject, DayBudget)>,
    pub amount: Spend,
}

/// Who has a day of their own. Ordered, so that everybody takes them in the same order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Org,
    Agent(String),
}

/// A ceiling that a reservation would pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    pub subject: Subject,
    pub ceiling: Ceiling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    Steps(u64),
    Tokens(u64),
    Cost(u64),
}

impl Subject {
    /// As stored: no agent has an empty name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Org => "",
            Self::Agent(agent_type) => agent_type,
        }
    }
}

/// The day in UTC.
pub fn day(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(24 * 3_600 * 1_000_000)
}

impl DayBudget {
    /// The first ceiling that `used` and `more` together pass.
    pub fn passed(&self, used: Spend, more: Spend) -> Option<Ceiling> {
        let passed = |limit: Option<u64>, used: u64, more: u64| {
            limit.filter(|limit| used.saturating_add(more) > *limit)
        };
        passed(self.max_steps, used.steps, more.steps)
            .map(Ceiling::Steps)
            .or_else(|| passed(self.max_tokens, used.tokens, more.tokens).map(Ceiling::Tokens))
            .or_else(|| {
                passed(
                    self.max_cost_micro_usd,
                    used.cost_micro_usd,
                    more.cost_micro_usd,
                )
                .map(Ceiling::Cost)
            })
    }
}

impl Exhausted {
    /// Fit to be shown to the run's owner.
    pub fn failure(&self) -> Failure {
        let whose = match &self.subject {
            Subject::Org => "the org".to_owned(),
            Subject::Agent(agent_type) => format!("agent `{agent_type}`"),
        };
        let (code, limit) = match self.ceiling {
            Ceiling::Steps(limit) => (FailureCode::BudgetSteps, format!("{limit} model turns")),
            Ceiling::Tokens(limit) => (FailureCode::BudgetTokens, format!("{limit} tokens")),
            Ceiling::Cost(limit) => (
                FailureCode::BudgetCost,
                format!("{limit} millionths of a dollar"),
            ),
        };
        let message =
            format!("{whose} would pass its ceiling of {limit} a day (UTC) with another turn");
        Failure::new(code, message)
    }
}
