//! What people and clients do to runs from outside: cancel, decide. Where this process drives the run, its driver is
//! asked; else the change is committed here, against whatever the run is now.

use crate::driver::Mail;
use crate::{Engine, EngineError, worker};
use domain::approval::{Approval, ApprovalKind, ApprovalStatus, Choice, Decision};
use domain::crash::crash_point;
use domain::key::Principal;
use domain::ports::store::{Expected, Holder, StoreError};
use domain::ports::tools::Proposed;
use domain::run::{
    CallState, Hold, Input, Next, Partial, Run, RunStatus, Transition, Verdict, misfit,
};
use domain::seeded::Seeded;
use domain::{ApprovalId, OrgScope, RunId, webhook};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Engine {
    /// Once this returns `Ok`, nothing of the run is dispatched any more. Cancelling a cancelled run changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Terminal` if it has completed or failed.
    pub async fn cancel(
        self: &Arc<Self>,
        scope: &OrgScope,
        id: RunId,
        reason: Option<String>,
        by: Option<&Principal>,
    ) -> Result<Run, EngineError> {
        let mut writing = self.writing(scope, id).await;
        loop {
            let (reply, answer) = oneshot::channel();
            let letter = || Mail::Cancel {
                reason: reason.clone(),
                by: by.cloned(),
                reply,
            };
            if self.drivers.post(scope.org(), id, letter).await
                && let Ok(answer) = answer.await
            {
                return answer;
            }
            let run = self
                .store
                .get_run(scope, id)
                .await?
                .ok_or(EngineError::NotFound)?;
            match run.status() {
                RunStatus::Cancelled => return Ok(run),
                status @ (RunStatus::Completed | RunStatus::Failed) => {
                    return Err(EngineError::Terminal { status });
                }
                RunStatus::Queued | RunStatus::Running | RunStatus::AwaitingApproval => {}
            }
            let input = Input::Cancel {
                reason: reason.clone(),
                by: by.cloned(),
                deltas: Partial::Unknown,
            };
            let next = self.addressed(run.apply(input, self.clock.now())?);
            crash_point("cancel.before_commit");
            if self
                .commit_outside(scope, &run, &next, Holder::Nobody)
                .await?
            {
                crash_point("cancel.after_commit");
                return Ok(next.run);
            }
            writing.again().await?;
        }
    }

    /// Decides an approval. The first valid decision stands; the same one by the same caller again is answered with it.
    /// Where several people must approve, each but the last leaves it pending.
    ///
    /// # Errors
    /// `NotFound`, `ApprovalResolved` with the decision that stands, `DigestMismatch`, `InvalidArguments`,
    /// `NotEligible`, `Misfit`.
    pub async fn resolve(
        self: &Arc<Self>,
        scope: &OrgScope,
        id: ApprovalId,
        decision: Decision,
    ) -> Result<Approval, EngineError> {
        let run_id = self.stored_approval(scope, id).await?.run_id;
        let mut writing = self.writing(scope, run_id).await;
        loop {
            let (reply, answer) = oneshot::channel();
            let letter = || Mail::Resolve {
                id,
                decision: Box::new(decision.clone()),
                reply,
            };
            if self.drivers.post(scope.org(), run_id, letter).await
                && let Ok(answer) = answer.await
            {
                return answer;
            }
            let (approval, decision) = match self.judge_decision(scope, id, decision.clone()).await
            {
                Ok(Judged::Open(approval, decision)) => (*approval, *decision),
                Ok(Judged::Overdue) => {
                    // Written down before it is told: a cancel may be faster still.
                    match self.expire(scope, id).await {
                        Ok(()) | Err(EngineError::Refused(_)) => {}
                        Err(error) => return Err(error),
                    }
                    writing.again().await?;
                    continue;
                }
                Err(EngineError::ApprovalResolved(standing)) if stands(&standing, &decision) => {
                    return Ok(*standing);
                }
                Err(error) => return Err(error),
            };
            let run = self.store.get_run(scope, run_id).await?;
            let run = run.ok_or(EngineError::NotFound)?;
            let input = Input::Resolved {
                approval: Box::new(approval),
                decision,
            };
            match self.advance(scope, run, input).await {
                Ok(true) => return self.stored_approval(scope, id).await,
                // Another was first in between: the next look says what stands.
                Ok(false) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            writing.again().await?;
        }
    }

    /// Denies everything that a run waits for, because a newer message came to its thread.
    pub(crate) async fn deny_all(
        self: &Arc<Self>,
        scope: &OrgScope,
        id: RunId,
        by: &Principal,
    ) -> Result<(), EngineError> {
        let Some(run) = self.store.get_run(scope, id).await? else {
            return Ok(());
        };
        for call in run.calls() {
            let CallState::Waiting { approval_id, .. } = call.state else {
                continue;
            };
            let decision = Decision {
                choice: Choice::Deny,
                reason: Some("a newer message came before anybody had decided".to_owned()),
                arguments: None,
                remember: None,
                seen: None,
                by: by.clone(),
            };
            match self.resolve(scope, approval_id, decision).await {
                // Somebody else was first; that decision is as good.
                Ok(_) | Err(EngineError::ApprovalResolved(_)) => {}
                Err(EngineError::Refused(refused)) if refused.status.is_terminal() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends an approval whose time is over, as denied. Does nothing if it was resolved meanwhile.
    pub async fn expire(
        self: &Arc<Self>,
        scope: &OrgScope,
        id: ApprovalId,
    ) -> Result<(), EngineError> {
        let approval = self.stored_approval(scope, id).await?;
        if approval.status != ApprovalStatus::Pending {
            return Ok(());
        }
        let run = self
            .store
            .get_run(scope, approval.run_id)
            .await?
            .ok_or(EngineError::NotFound)?;
        self.advance(
            scope,
            run,
            Input::Expired {
                approval: Box::new(approval),
            },
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn stored_approval(
        &self,
        scope: &OrgScope,
        id: ApprovalId,
    ) -> Result<Approval, EngineError> {
        self.store
            .get_approval(scope, id)
            .await?
            .ok_or(EngineError::NotFound)
    }

    /// Is the approval still open, and may these arguments run?
    pub(crate) async fn judge_decision(
        &self,
        scope: &OrgScope,
        id: ApprovalId,
        decision: Decision,
    ) -> Result<Judged, EngineError> {
        let approval = self.stored_approval(scope, id).await?;
        if approval.status != ApprovalStatus::Pending {
            return Err(EngineError::ApprovalResolved(Box::new(approval)));
        }
        if approval.expires_at <= self.clock.now() && !Seeded::LateDecision.is_on() {
            return Ok(Judged::Overdue);
        }
        if let Some(message) = misfit(approval.kind, &decision) {
            return Err(EngineError::Misfit { message });
        }
        if decision
            .seen
            .as_ref()
            .is_some_and(|seen| *seen != approval.arguments_digest)
            && !Seeded::SeenUnchecked.is_on()
        {
            let expected = approval.arguments_digest;
            return Err(EngineError::DigestMismatch { expected });
        }
        if decision.choice.approves() && !approval.may_approve(&decision.by) {
            return Err(EngineError::NotEligible);
        }
        if decision.arguments.is_none() && stands(&approval, &decision) {
            // This person's part is done; others have to follow.
            return Err(EngineError::ApprovalResolved(Box::new(approval)));
        }
        if let (true, Some(arguments)) = (decision.choice.approves(), &decision.arguments)
            && !Seeded::EditUnchecked.is_on()
        {
            self.check_edited(scope, &approval, arguments.to_string())
                .await?;
        }
        if decision.choice == Choice::Approve && decision.remember.is_some() {
            let run = self.store.get_run(scope, approval.run_id).await?;
            let run = run.ok_or(EngineError::NotFound)?;
            self.check_remember(&run, &approval, &decision).await?;
        }
        Ok(Judged::Open(Box::new(approval), Box::new(decision)))
    }

    async fn check_edited(
        &self,
        scope: &OrgScope,
        approval: &Approval,
        arguments: String,
    ) -> Result<(), EngineError> {
        let run = self
            .store
            .get_run(scope, approval.run_id)
            .await?
            .ok_or(EngineError::NotFound)?;
        let agent = self.agent_of(&run).await?.ok_or(EngineError::NotFound)?;
        let proposed = Proposed {
            client_id: None,
            name: approval.tool_name.clone(),
            arguments,
        };
        // A person looks at these arguments: only what is denied outright matters, and a conversation denies nothing.
        let planned = self.plan(scope, &run, agent, &[], vec![proposed]).await?;
        for call in planned {
            match call.verdict {
                Verdict::Run | Verdict::Ask { .. } => {}
                Verdict::Deny { reason } => {
                    return Err(EngineError::InvalidArguments { message: reason });
                }
                Verdict::Reject { result, .. } => {
                    return Err(EngineError::InvalidArguments {
                        message: result.content,
                    });
                }
            }
        }
        Ok(())
    }

    /// Commits an input to a run that nobody here drives, and sets it going if it can go on. False if the run moved.
    pub(crate) async fn advance(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: Run,
        input: Input,
    ) -> Result<bool, EngineError> {
        let mut next = self.addressed(run.apply(input, self.clock.now())?);
        let free = matches!(run.next(), Next::AwaitApproval | Next::AwaitClient);
        let goes_on = !matches!(
            next.run.next(),
            Next::AwaitApproval | Next::AwaitClient | Next::Ended
        );
        let place = if free && goes_on && run.hold.is_none() && !self.is_draining() {
            self.place()
        } else {
            None
        };
        // Nobody holds a run that waits; whoever sets it going takes it with a new epoch.
        let holder = match (&place, free) {
            (Some(_), _) => Holder::Worker(self.worker_id()),
            (None, true) => Holder::Nobody,
            (None, false) => Holder::Unchanged,
        };
        if free {
            next.run.epoch += 1;
        }
        crash_point("approval.before_commit");
        if !self.commit_outside(scope, &run, &next, holder).await? {
            return Ok(false);
        }
        crash_point("approval.after_commit");
        match place {
            Some(place) => self.spawn_resumed(next.run, place),
            None => self.left_in_store(),
        }
        Ok(true)
    }

    /// Adds the messages for those who subscribed, to be committed with it.
    pub(crate) fn addressed(&self, mut transition: Transition) -> Transition {
        if !self.settings.webhooks.is_empty() {
            transition.deliveries = webhook::deliveries(&transition, &self.settings.webhooks);
        }
        transition
    }

    /// Wakes whoever sends messages, if a commit made some.
    pub(crate) fn rang(&self, committed: &Transition) {
        if !committed.deliveries.is_empty() {
            self.outbox.notify_waiters();
        }
    }

    /// False if the run is no longer as `run`.
    async fn commit_outside(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: &Run,
        next: &Transition,
        holder: Holder,
    ) -> Result<bool, EngineError> {
        if run.hold.is_some_and(Hold::is_elsewhere) && !Seeded::ExportedDecided.is_on() {
            return Err(EngineError::OnHold);
        }
        let expected = Expected {
            epoch: run.epoch,
            version: run.version,
        };
        match self.commit_run(scope, next, expected, holder).await {
            Ok(committed) => {
                self.feeds.hint(scope.org(), run.id);
                self.remote.outlet.news(scope.org(), run.id);
                self.rang(next);
                if !next.approvals.is_empty() || !next.closed.is_empty() {
                    self.inbox_moved(scope.org());
                }
                if let Some(promoted) = committed.promoted {
                    let (engine, scope) = (self.clone(), scope.clone());
                    self.tasks
                        .spawn(async move { worker::take(&engine, &scope, promoted).await });
                }
                Ok(true)
            }
            Err(StoreError::Stale | StoreError::GrantGone) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a decision meets.
pub(crate) enum Judged {
    Open(Box<Approval>, Box<Decision>),
    /// Its time is over, and nobody has written that down yet.
    Overdue,
}

/// Is this the decision that stands already, by the same caller?
pub(crate) fn stands(standing: &Approval, decision: &Decision) -> bool {
    let approves = decision.choice.approves();
    let same = match standing.status {
        ApprovalStatus::Approved => approves,
        ApprovalStatus::Denied => !approves,
        ApprovalStatus::Pending => {
            let approvers = standing.approvers();
            return approves && approvers.iter().any(|by| by.is_same_person(&decision.by));
        }
        ApprovalStatus::Expired | ApprovalStatus::Cancelled => false,
    };
    let found = standing.kind != ApprovalKind::OutcomeUnknown
        || standing.finding == Some(decision.choice.finding());
    let by = standing.resolved_by.as_ref();
    let by_them = by.is_some_and(|by| by.key_id == decision.by.key_id);
    (same && found && by_them) || Seeded::SecondConfirmed.is_on()
}
