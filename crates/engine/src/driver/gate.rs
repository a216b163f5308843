//! Has a run's input judged before its first model turn. A judgement that a crash cut off is made again.

use super::{Driver, Halt};
use crate::gate::Gatekeeper;
use domain::gate::{GateInput, GateRecord};
use domain::run::Input;

impl Driver {
    pub(super) async fn judge_input(&mut self) -> Result<(), Halt> {
        let since = self.engine.clock.now();
        let input = GateInput::of(self.history.messages());
        let judged = input.clone();
        let keeper: Gatekeeper = self.engine.gatekeeper.clone();
        let (scope, agent, run) = (self.scope.clone(), self.agent.clone(), self.run.id);
        let judging = async move { keeper.judge(&scope, &agent, run, &input).await };
        let decision = tokio::select! {
            decision = judging => decision,
            interruption = self.interruption() => {
                return self.interrupted(interruption, None).await;
            }
        };
        let record = GateRecord {
            since,
            input: judged,
            decision,
        };
        self.commit(Input::GateDecided(Box::new(record))).await
    }
}
