//! Keeps results whole that are too long for a model, so that it can read on in them.

use crate::executor::{Ended, Tool};
use crate::limits;
use domain::OrgScope;
use domain::kept::{KeptId, KeptResult};
use domain::ports::clock::Clock;
use domain::ports::store::ResultStore;
use domain::ports::tools::CallContext;
use domain::run::Call;
use std::sync::Arc;

pub(super) struct Keeper {
    pub store: Arc<dyn ResultStore>,
    pub clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Keeps a result that is longer than its tool may tell; `None` if it is not, or could not be kept.
    pub(super) async fn keep(
        &self,
        tool: &Tool,
        scope: &OrgScope,
        context: &CallContext,
        call: &Call,
        ended: &Ended,
    ) -> Option<KeptId> {
        let Ended::Answered { value, .. } = ended else {
            return None;
        };
        let content = value.to_string();
        if content.len() <= tool.result_bytes_max || content.len() > limits::KEPT_BYTES_MAX {
            return None;
        }
        let result = KeptResult {
            id: KeptId::of(&call.key),
            run_id: context.run_id,
            thread_id: context.thread_id,
            tool_name: call.name.clone(),
            content,
            kept_at: self.clock.now(),
        };
        let kept = self
            .store
            .keep_result(scope, &result, limits::KEPT_ORG_BYTES_MAX)
            .await;
        match kept {
            Ok(()) => Some(result.id),
            // The call went well; the model is told the beginning.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(tool.name = %call.name, run.id = %context.run_id, error, "a long result could not be kept");
                None
            }
        }
    }
}
