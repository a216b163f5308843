//! Says what would become of a call and why, through the same steps as a call takes, without any effect.

use super::Gateway;
use super::policies::Deliberation;
use domain::OrgScope;
use domain::ports::tools::{CallContext, Proposed};
use domain::run::Planned;

/// What would become of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub planned: Planned,
    /// Absent where the call could not be made at all.
    pub deliberation: Option<Deliberation>,
}

impl Gateway {
    pub async fn explain(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        call: Proposed,
    ) -> Explained {
        let (mut plans, mut judged) = self.deliberated(scope, context, vec![call]).await;
        Explained {
            planned: plans.remove(0),
            deliberation: judged.pop(),
        }
    }
}
