//! Performs the calls of a turn, in parallel, each committed as dispatched before it is sent.

use super::{Driver, Halt};
use domain::crash::crash_point;
use domain::ports::tools::CallContext;
use domain::run::{Call, CallState, Input, Next};
use domain::seeded::Seeded;
use domain::tool::{Effect, Probed, ToolOutcome};
use domain::{CallId, RunId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::HashSet;

/// Calls that are being made.
type AtWork = FuturesUnordered<BoxFuture<'static, Performed>>;

/// A piece of work that is over: the call, its attempt, and what came of it.
type Performed = (CallId, u32, Done);

enum Done {
    Called(ToolOutcome),
    /// The run may be another worker's by now.
    Unsent,
    Probed(Probed),
}

impl Driver {
    /// Commits the intent to send. A call that a grant let through gets a commit of its own, which counts the use; if the
    /// grant is gone by now, a person is asked instead.
    pub(super) async fn dispatch(&mut self, calls: Vec<CallId>) -> Result<(), Halt> {
        let is_granted = |id: &CallId| {
            let call = self.run.calls().iter().find(|call| call.id == *id);
            call.is_some_and(|call| matches!(call.state, CallState::Granted { .. }))
        };
        let (granted, calls): (Vec<CallId>, Vec<CallId>) = calls.into_iter().partition(is_granted);
        crash_point("tool.before_dispatch_commit");
        if calls.is_empty() {
            let Some(call) = granted.into_iter().next() else {
                return Ok(());
            };
            let calls = vec![call.clone()];
            match self.commit(Input::Dispatching { calls }).await {
                Err(Halt::GrantGone) => self.commit(Input::GrantGone { call }).await?,
                dispatched => dispatched?,
            }
        } else {
            self.commit(Input::Dispatching { calls }).await?;
        }
        crash_point("tool.after_dispatch_commit");
        Ok(())
    }

    /// Until the calls are settled, or wait for people, or the run ends.
    pub(super) async fn run_tools(&mut self) -> Result<(), Halt> {
        let mut at_work = AtWork::new();
        let halted = self.run_calls(&mut at_work).await;
        if let Err(Halt::Lost) = halted {
            self.hear_out(at_work);
        }
        halted
    }

    /// Another worker has the run, and will ask what became of calls that are unsafe: those are not cut off. Where the run
    /// has ended, all are.
    fn hear_out(&self, mut at_work: AtWork) {
        let is_unsafe = |call: &&Call| call.effect == Effect::Unsafe;
        let asked: HashSet<CallId> = self
            .run
            .calls()
            .iter()
            .filter(is_unsafe)
            .map(|call| call.id.clone())
            .collect();
        if at_work.is_empty() || asked.is_empty() {
            return;
        }
        let (engine, scope, run) = (self.engine.clone(), self.scope.clone(), self.run.id);
        tokio::spawn(async move {
            match engine.store.get_run(&scope, run).await {
                Ok(Some(fresh)) if !fresh.status().is_terminal() => {}
                Ok(_) | Err(_) => return,
            }
            while let Some((call, attempt, done)) = at_work.next().await {
                if let Done::Called(outcome) = done
                    && asked.contains(&call)
                {
                    engine
                        .answered_late(&scope, run, call, attempt, outcome)
                        .await;
                }
            }
        });
    }

    async fn run_calls(&mut self, at_work: &mut AtWork) -> Result<(), Halt> {
        // A call made again is another piece of work than its first attempt.
        let mut begun: HashSet<(CallId, u32, bool)> = HashSet::new();
        loop {
            match self.run.next() {
                Next::Dispatch(calls) => {
                    let calls = calls.iter().map(|call| call.id.clone()).collect();
                    self.dispatch(calls).await?;
                    continue;
                }
                Next::AwaitTools(calls) => {
                    let fresh: Vec<Call> = calls
                        .into_iter()
                        .filter(|call| {
                            begun.insert((call.id.clone(), call.attempt, is_probing(call)))
                        })
                        .cloned()
                        .collect();
                    at_work.extend(fresh.into_iter().map(|call| self.perform(call)));
                }
                Next::Start
                | Next::Judge
                | Next::CallModel(_)
                | Next::AwaitApproval
                | Next::AwaitClient
                | Next::Ended => return Ok(()),
            }
            let first = tokio::select! {
                biased;
                Some(first) = at_work.next() => first,
                interruption = self.interruption() => {
                    self.interrupted(interruption, None).await?;
                    continue;
                }
            };
            let mut done = vec![first];
            // Whatever else is ready shares the commit.
            while let Some(Some(more)) = futures::FutureExt::now_or_never(at_work.next()) {
                done.push(more);
            }
            self.settle(done).await?;
        }
    }

    async fn settle(&mut self, done: Vec<Performed>) -> Result<(), Halt> {
        let mut outcomes = Vec::new();
        let mut probes = Vec::new();
        let mut unsent = Vec::new();
        for (id, attempt, done) in done {
            match done {
                Done::Called(outcome) if self.is_dispatched(&id, attempt) => {
                    outcomes.push((id, outcome));
                }
                Done::Unsent if self.is_dispatched(&id, attempt) => unsent.push(id),
                Done::Probed(probe) => probes.push((id, probe)),
                Done::Called(_) | Done::Unsent => {}
            }
        }
        if !outcomes.is_empty() {
            crash_point("tool.before_settle_commit");
            let input = Input::CallsSettled {
                outcomes: outcomes.clone(),
            };
            let settled = self.commit(input).await;
            if let Err(Halt::Lost) = settled {
                self.too_late(outcomes).await;
            }
            settled?;
            crash_point("tool.after_settle_commit");
        }
        for (call, probe) in probes {
            if self.is_probing(&call) {
                self.commit(Input::Probed { call, probe }).await?;
            }
        }
        if !unsent.is_empty() {
            // Proves that nobody else has taken the run up to here; from here on anybody may.
            self.commit(Input::Unsent { calls: unsent }).await?;
            return Err(Halt::Lost);
        }
        Ok(())
    }

    /// These came in time to be had, and too late to be written.
    async fn too_late(&self, outcomes: Vec<(CallId, ToolOutcome)>) {
        for (id, outcome) in outcomes {
            let calls = self.run.calls();
            let Some(call) = calls
                .iter()
                .find(|call| call.id == id && call.effect == Effect::Unsafe)
            else {
                continue;
            };
            let attempt = call.attempt;
            self.engine
                .answered_late(&self.scope, self.run.id, id, attempt, outcome)
                .await;
        }
    }

    fn is_dispatched(&self, id: &CallId, attempt: u32) -> bool {
        self.run.calls().iter().any(|call| {
            call.id == *id
                && call.attempt == attempt
                && matches!(call.state, CallState::Dispatched { .. })
        })
    }

    fn is_probing(&self, id: &CallId) -> bool {
        let calls = self.run.calls();
        calls.iter().any(|call| call.id == *id && is_probing(call))
    }

    fn perform(&self, call: Call) -> BoxFuture<'static, Performed> {
        let (engine, scope) = (self.engine.clone(), self.scope.clone());
        let tenure = self.tenure;
        let context = CallContext::of(&self.run, self.agent.clone());
        Box::pin(async move {
            let run: RunId = context.run_id;
            let limit = engine.settings.tool_limit;
            if is_probing(&call) {
                let probe = engine.tools.probe(&scope, &context, &call, limit).await;
                return (call.id, call.attempt, Done::Probed(probe));
            }
            if !engine.may_send(tenure).await && !Seeded::SentUnheld.is_on() {
                tracing::warn!(run.id = %run, tool.name = %call.name, "a call was not sent: the run may be another worker's by now");
                return (call.id, call.attempt, Done::Unsent);
            }
            let performing = engine.tools.execute(&scope, &context, &call, limit);
            let outcome = match tokio::time::timeout(limit, performing).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tracing::warn!(run.id = %run, tool = %call.name, "a tool passed the limit of all tools");
                    let evidence = format!("no answer within {} s", limit.as_secs());
                    ToolOutcome::Unknown { evidence }
                }
            };
            (call.id, call.attempt, Done::Called(outcome))
        })
    }
}

fn is_probing(call: &Call) -> bool {
    matches!(call.state, CallState::Probing { .. })
}
