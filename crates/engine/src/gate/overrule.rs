//! A person marks a gate's decision as wrong: the run stays as it is, and its input becomes a case.

use crate::{Engine, EngineError};
use domain::gate::{GateCase, GateInput, GateVerdict};
use domain::key::Principal;
use domain::step::{Step, StepKind};
use domain::{OrgScope, RunId};

/// What a person says of a decision.
#[derive(Debug, Clone)]
pub struct Overrule {
    pub run: RunId,
    /// The gate's step; the last one if absent.
    pub step_index: Option<u32>,
    /// What would have been right.
    pub label: GateVerdict,
    pub note: Option<String>,
    pub by: Principal,
}

impl Engine {
    /// On return the case is on disk; it replaces an earlier one of the same step.
    ///
    /// # Errors
    /// `NotFound` if there is no such run in the org, `NoGateDecision` if no gate has judged it.
    pub async fn overrule_gate(
        &self,
        scope: &OrgScope,
        overrule: Overrule,
    ) -> Result<GateCase, EngineError> {
        let run = self.store.get_run(scope, overrule.run).await?;
        let run = run.ok_or(EngineError::NotFound)?;
        let steps = self.store.run_steps(scope, run.id).await?;
        let judged = judged(&steps, overrule.step_index);
        let (step_index, input, decided) = judged.ok_or(EngineError::NoGateDecision)?;
        let case = GateCase {
            agent_type: run.agent_type,
            agent_version: run.agent_version,
            run_id: run.id,
            step_index,
            input,
            decided,
            label: overrule.label,
            note: overrule.note,
            by: overrule.by,
            at: self.clock.now(),
        };
        self.store.put_gate_case(scope, &case).await?;
        Ok(case)
    }
}

fn judged(steps: &[Step], index: Option<u32>) -> Option<(u32, GateInput, GateVerdict)> {
    let fits = |step: &&Step| {
        step.kind == StepKind::Gate && index.is_none_or(|index| step.step_index == index)
    };
    let step = steps.iter().rfind(fits)?;
    let input = serde_json::from_value(step.input.clone()).ok()?;
    let decided = serde_json::from_value(step.output.get("decision")?.clone()).ok()?;
    Some((step.step_index, input, decided))
}
