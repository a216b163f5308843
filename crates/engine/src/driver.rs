//! One run at work in this process: asks its state what is next, performs it, feeds the result back, commits. While a
//! driver has a run, it is the only one in this process that writes it; others put their wishes into its mailbox.

mod commit;
mod gate;
mod tools;
mod turn;

use crate::commands::{Judged, stands};
use crate::feed::Feed;
use crate::history::History;
use crate::{Engine, EngineError};
use domain::agent::Agent;
use domain::approval::{Approval, Decision};
use domain::event::DeltaBlock;
use domain::key::Principal;
use domain::ports::store::Holder;
use domain::run::{Input, Next, Partial, Run};
use domain::tool::ToolSpec;
use domain::{ApprovalId, CallId, OrgId, OrgScope, RunId, Timestamp};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use commit::Halt;

/// Wishes waiting for one driver.
const MAILBOX: usize = 16;

/// What others want of a run that is driven here.
pub(crate) enum Mail {
    Cancel {
        reason: Option<String>,
        by: Option<Principal>,
        reply: oneshot::Sender<Result<Run, EngineError>>,
    },
    Resolve {
        id: ApprovalId,
        decision: Box<Decision>,
        reply: oneshot::Sender<Result<Approval, EngineError>>,
    },
    /// Another process may have changed the run.
    Look,
    /// Feeds the run an input if it is still at `version`; answers false if it has moved on.
    Feed {
        input: Box<Input>,
        version: u64,
        reply: oneshot::Sender<Result<bool, EngineError>>,
    },
}

/// The drivers of this process by run.
#[derive(Default)]
pub(crate) struct Drivers {
    map: Mutex<HashMap<(OrgId, RunId), mpsc::Sender<Mail>>>,
    /// Rung whenever a seat was left.
    left: Notify,
}

/// A driver's seat at its run, left when it is dropped. Watchers are told first; then the seat is free; then mail that was
/// not read is refused. So whoever is not answered finds the run without a driver, never one that is only about to leave.
pub(crate) struct Seat {
    drivers: Arc<Drivers>,
    key: (OrgId, RunId),
    pub feed: Arc<Feed>,
    pub mail: mpsc::Receiver<Mail>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.feed.detach();
        let mut map = self
            .drivers
            .map
            .lock()
            .expect("no holder of this lock panics");
        map.remove(&self.key);
        drop(map);
        self.drivers.left.notify_waiters();
    }
}

impl Drivers {
    pub fn len(&self) -> usize {
        self.map
            .lock()
            .expect("no holder of this lock panics")
            .len()
    }

    pub fn has(&self, org: &OrgId, run: RunId) -> bool {
        self.mailbox(org, run).is_some()
    }

    fn mailbox(&self, org: &OrgId, run: RunId) -> Option<mpsc::Sender<Mail>> {
        let map = self.map.lock().expect("no holder of this lock panics");
        map.get(&(org.clone(), run)).cloned()
    }

    /// Puts a letter into the mailbox of whoever drives the run; false if nobody does. Whoever waits for the answer holds no
    /// sender while waiting: a letter that arrives in the moment in which its reader leaves lies there for as long as anybody
    /// holds one, unread, with the means to answer it.
    pub async fn post(&self, org: &OrgId, run: RunId, letter: impl FnOnce() -> Mail) -> bool {
        match self.mailbox(org, run) {
            Some(mailbox) => mailbox.send(letter()).await.is_ok(),
            None => false,
        }
    }

    /// Tells whoever drives the run that another process may have changed it. A full mailbox is read soon, and each letter
    /// ends in a look at the run's version.
    pub fn nudge(&self, org: &OrgId, run: RunId) {
        if let Some(mailbox) = self.mailbox(org, run) {
            let _ = mailbox.try_send(Mail::Look);
        }
    }

    /// `last` is the number of the run's last event in the store. `None` if the run has a driver already.
    pub fn enter(self: &Arc<Self>, feed: Arc<Feed>, last: u64) -> Option<Seat> {
        let mut map = self.map.lock().expect("no holder of this lock panics");
        let Entry::Vacant(vacant) = map.entry(feed.key.clone()) else {
            return None;
        };
        let key = vacant.key().clone();
        let (sender, mail) = mpsc::channel(MAILBOX);
        vacant.insert(sender);
        drop(map);
        feed.attach(last);
        Some(Seat {
            drivers: self.clone(),
            key,
            feed,
            mail,
        })
    }

    /// The seat of a run that was taken from the store, once whoever sits there has left: the request that made the run
    /// and is about to go, or a driver that has lost it and is told to look.
    pub async fn enter_next(self: &Arc<Self>, feed: Arc<Feed>, last: u64) -> Seat {
        loop {
            let left = self.left.notified();
            let mut left = std::pin::pin!(left);
            // Registered before the look, so that a seat left in between is not missed.
            left.as_mut().enable();
            if let Some(seat) = self.enter(feed.clone(), last) {
                return seat;
            }
            self.nudge(&feed.key.0, feed.key.1);
            left.await;
        }
    }
}

pub(crate) struct Driver {
    pub engine: Arc<Engine>,
    pub scope: OrgScope,
    pub run: Run,
    pub agent: Arc<Agent>,
    pub specs: Arc<[ToolSpec]>,
    pub history: History,
    pub seat: Seat,
    /// The lease that the run is held under.
    pub tenure: u64,
}

/// Something other than the awaited work happened.
enum Interruption {
    Mail(Mail),
    Deadline,
}

impl Driver {
    /// Drives until the run is over, waits for a person, or is lost to another.
    pub async fn drive(&mut self) -> Result<(), Halt> {
        loop {
            match self.run.next() {
                Next::Start => self.commit(Input::Start).await?,
                Next::Judge => self.judge_input().await?,
                Next::CallModel(turn) => {
                    let turn = turn.clone();
                    self.model_turn(turn).await?;
                }
                Next::Dispatch(calls) => {
                    let calls: Vec<CallId> = calls.iter().map(|call| call.id.clone()).collect();
                    self.dispatch(calls).await?;
                }
                Next::AwaitTools(_) => self.run_tools().await?,
                Next::AwaitApproval | Next::AwaitClient | Next::Ended => return Ok(()),
            }
        }
    }

    /// The next wish, or the run's time being up; pending for ever if neither comes.
    async fn interruption(&mut self) -> Interruption {
        let deadline = self.deadline();
        let now = self.engine.clock.now();
        let time_up = async {
            match deadline {
                Some(deadline) => tokio::time::sleep(deadline.since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(mail) = self.seat.mail.recv() => Interruption::Mail(mail),
            () = time_up => Interruption::Deadline,
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let timeout = self.run.request.budget.timeout()?;
        Some(self.run.started_at()?.plus(timeout).plus(self.run.waited()))
    }

    /// Takes up a run that another worker left.
    pub async fn recover(&mut self, recovery: Input) -> Result<(), Halt> {
        domain::crash::crash_point("recovery.before_commit");
        self.commit(recovery).await?;
        domain::crash::crash_point("recovery.after_commit");
        Ok(())
    }

    /// Does what was wished. `deltas` is what a turn in flight has told; it is kept only where the turn ends by this.
    async fn interrupted(
        &mut self,
        interruption: Interruption,
        deltas: Option<DeltaBlock>,
    ) -> Result<(), Halt> {
        match interruption {
            Interruption::Deadline => {
                self.commit(Input::DeadlineReached {
                    deltas: Partial::Known(deltas),
                })
                .await
            }
            Interruption::Mail(Mail::Cancel { reason, by, reply }) => {
                domain::crash::crash_point("cancel.before_commit");
                let input = Input::Cancel {
                    reason,
                    by,
                    deltas: Partial::Known(deltas),
                };
                let done = self.commit(input).await;
                if done.is_ok() {
                    domain::crash::crash_point("cancel.after_commit");
                    let _ = reply.send(Ok(self.run.clone()));
                }
                done
            }
            Interruption::Mail(Mail::Resolve {
                id,
                decision,
                reply,
            }) => {
                let resolved = self.resolve_here(id, *decision).await?;
                let _ = reply.send(resolved);
                Ok(())
            }
            Interruption::Mail(Mail::Look) => self.look().await.map(drop),
            Interruption::Mail(Mail::Feed { version, reply, .. })
                if version != self.run.version =>
            {
                let _ = reply.send(Ok(false));
                Ok(())
            }
            Interruption::Mail(Mail::Feed { input, reply, .. }) => {
                match self.try_commit(&input).await {
                    Ok(landed) => {
                        let _ = reply.send(Ok(landed));
                        Ok(())
                    }
                    Err(Halt::Refused(refused)) => {
                        let _ = reply.send(Err(refused.into()));
                        Ok(())
                    }
                    Err(halt) => Err(halt),
                }
            }
        }
    }

    async fn resolve_here(
        &mut self,
        id: ApprovalId,
        decision: Decision,
    ) -> Result<Result<Approval, EngineError>, Halt> {
        let prepared = self
            .engine
            .judge_decision(&self.scope, id, decision.clone())
            .await;
        let (approval, decision) = match prepared {
            Ok(Judged::Open(approval, decision)) => (*approval, *decision),
            Ok(Judged::Overdue) => return self.expire_here(id).await.map(Err),
            Err(EngineError::ApprovalResolved(standing)) if stands(&standing, &decision) => {
                return Ok(Ok(*standing));
            }
            Err(error) => return Ok(Err(error)),
        };
        domain::crash::crash_point("approval.before_commit");
        let again = decision.clone();
        let input = Input::Resolved {
            approval: Box::new(approval),
            decision,
        };
        match self.commit(input).await {
            Ok(()) => {}
            Err(Halt::Refused(refused)) => {
                // Another was first in between, and what stands says who.
                let judged = self.engine.judge_decision(&self.scope, id, again).await;
                return Ok(Err(judged.err().unwrap_or(refused.into())));
            }
            Err(halt) => return Err(halt),
        }
        domain::crash::crash_point("approval.after_commit");
        Ok(self.engine.stored_approval(&self.scope, id).await)
    }

    /// Writes down that nobody decided in time, and tells what stands.
    async fn expire_here(&mut self, id: ApprovalId) -> Result<EngineError, Halt> {
        let stored = match self.engine.stored_approval(&self.scope, id).await {
            Ok(stored) => stored,
            Err(error) => return Ok(error),
        };
        let approval = Box::new(stored);
        match self.commit(Input::Expired { approval }).await {
            Ok(()) | Err(Halt::Refused(_)) => {}
            Err(halt) => return Err(halt),
        }
        Ok(match self.engine.stored_approval(&self.scope, id).await {
            Ok(standing) => EngineError::ApprovalResolved(Box::new(standing)),
            Err(error) => error,
        })
    }

    /// Who holds the run after the state that it is in now was committed.
    fn holder(run: &Run) -> Holder {
        match run.next() {
            Next::AwaitApproval | Next::AwaitClient | Next::Ended => Holder::Nobody,
            Next::Start
            | Next::Judge
            | Next::CallModel(_)
            | Next::Dispatch(_)
            | Next::AwaitTools(_) => Holder::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests;
