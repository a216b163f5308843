//! Answers that come when the run is no longer this worker's: nothing of it may be written any more, but what a tool said
//! of an unsafe call is evidence, and is kept beside the run.

use crate::Engine;
use domain::step::LateAnswer;
use domain::tool::ToolOutcome;
use domain::{CallId, OrgScope, RunId};

impl Engine {
    /// Keeps what `outcome` tells, if it tells anything. Best effort: without it the run stands as it stood.
    pub(crate) async fn answered_late(
        &self,
        scope: &OrgScope,
        run: RunId,
        call: CallId,
        attempt: u32,
        outcome: ToolOutcome,
    ) {
        let result = match outcome {
            ToolOutcome::Committed(result) => result,
            ToolOutcome::FailedBeforeEffect(_) | ToolOutcome::Unknown { .. } => return,
        };
        let late = LateAnswer {
            call,
            attempt,
            at: self.clock.now(),
            result,
        };
        tracing::warn!(run.id = %run, call.id = %late.call, "a tool answered after the run was lost; the answer is kept beside it");
        if let Err(error) = self.store.attach_late_answer(scope, run, &late).await {
            tracing::warn!(run.id = %run, call.id = %late.call, error = &error as &dyn std::error::Error, "a late answer could not be kept");
        }
    }
}
