//! Ceilings of a run.

use super::{Draft, Partial, Refused, Run, RunState, Transition, end};
use crate::failure::{Failure, FailureCode};
use crate::seeded::Seeded;

impl Run {
    /// Why its budget allows no other model turn, if so.
    pub fn exhausted(&self) -> Option<Failure> {
        exhausted(self)
    }
}

/// Why another model turn may not begin, if so.
pub(super) fn exhausted(run: &Run) -> Option<Failure> {
    let budget = &run.request.budget;
    let spent = |limit: Option<u64>, used: u64| {
        limit.filter(|limit| used >= *limit + u64::from(Seeded::OneTurnMore.is_on()))
    };
    if let Some(limit) = spent(budget.max_steps.map(u64::from), u64::from(run.turns)) {
        return Some(over(
            FailureCode::BudgetSteps,
            &format!("{limit} model turns"),
        ));
    }
    if let Some(limit) = spent(budget.max_tokens, run.usage.total_tokens()) {
        return Some(over(FailureCode::BudgetTokens, &format!("{limit} tokens")));
    }
    if let Some(limit) = spent(budget.max_cost_micro_usd, run.usage.cost_micro_usd) {
        return Some(over(
            FailureCode::BudgetCost,
            &format!("{limit} millionths of a dollar"),
        ));
    }
    None
}

pub(super) fn deadline(mut draft: Draft, deltas: Partial) -> Result<Transition, Refused> {
    match &draft.out.run.state {
        RunState::Queued { .. } | RunState::Running { .. } => {}
        RunState::AwaitingApproval { .. } => {
            return draft.refuse("deadline", "the time a person takes is not the run's");
        }
        RunState::Completed { .. } | RunState::Failed { .. } | RunState::Cancelled { .. } => {
            return draft.refuse("deadline", "it has ended");
        }
    }
    let limit = draft.out.run.request.budget.timeout_s.unwrap_or(0);
    end::cut_turn(&mut draft, deltas, "the run's time is up");
    end::close_calls(&mut draft, "the run's time is up");
    end::fail(
        &mut draft,
        over(FailureCode::BudgetTime, &format!("{limit} seconds")),
    );
    draft.finish()
}

fn over(code: FailureCode, limit: &str) -> Failure {
    Failure::new(code, format!("the run reached its ceiling of {limit}"))
}
