//! Puts drivers on runs and looks after them: a driver that panics costs its run a crash, and no other run anything.

use crate::driver::{Driver, Halt, Seat};
use crate::feed::Feed;
use crate::history::History;
use crate::{Engine, EngineError};
use domain::agent::Agent;
use domain::crash::crash_point;
use domain::failure::{Failure, FailureCode};
use domain::message::Message;
use domain::ports::store::{Claimed, Expected, Holder, StoreError};
use domain::run::{Input, Run, RunState};
use domain::{OrgScope, RunId};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OwnedSemaphorePermit;

/// A run that this worker holds, on its way to its driver.
struct Held {
    scope: OrgScope,
    run: Run,
    seat: Seat,
}

/// How a driven run came here.
enum Origin {
    /// Begun by this process: its agent and its new messages are at hand.
    New {
        agent: Arc<Agent>,
        messages: Vec<Message>,
        history: u32,
    },
    Claimed {
        crashed: bool,
    },
    /// Set going again by a decision that this process committed.
    Resumed,
}

impl Engine {
    pub(crate) fn spawn_new(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: Run,
        agent: Arc<Agent>,
        seat: Seat,
        place: OwnedSemaphorePermit,
        (messages, history): (Vec<Message>, u32),
    ) {
        let held = Held {
            scope: scope.clone(),
            run,
            seat,
        };
        self.spawn(
            held,
            Origin::New {
                agent,
                messages,
                history,
            },
            place,
        );
    }

    /// Drives a run that was taken from the store.
    pub(crate) fn spawn_claimed(self: &Arc<Self>, claimed: Claimed, place: OwnedSemaphorePermit) {
        crash_point("recovery.after_claim");
        self.spawn_stored(
            claimed.run,
            Origin::Claimed {
                crashed: claimed.crashed,
            },
            place,
        );
    }

    /// Drives a run that a decision, committed by this process, set going again.
    pub(crate) fn spawn_resumed(self: &Arc<Self>, run: Run, place: OwnedSemaphorePermit) {
        self.spawn_stored(run, Origin::Resumed, place);
    }

    fn spawn_stored(self: &Arc<Self>, run: Run, origin: Origin, place: OwnedSemaphorePermit) {
        let feed = self.feeds.open(&run.org, run.id);
        let (last, scope) = (run.next_seq - 1, OrgScope::new(run.org.clone()));
        if let Some(seat) = self.drivers.enter(feed.clone(), last) {
            self.spawn(Held { scope, run, seat }, origin, place);
            return;
        }
        // It is this worker's in the store now, so nobody else would ever drive it.
        let engine = self.clone();
        self.tasks.spawn(async move {
            let seat = tokio::select! {
                seat = engine.drivers.enter_next(feed, last) => seat,
                () = engine.stopping.cancelled() => return,
            };
            engine.spawn(Held { scope, run, seat }, origin, place);
        });
    }

    fn spawn(self: &Arc<Self>, held: Held, origin: Origin, place: OwnedSemaphorePermit) {
        let engine = self.clone();
        let tenure = self.own_lease.tenure();
        self.tasks.spawn(async move {
            let (scope, id) = (held.scope.clone(), held.run.id);
            let stopping = engine.stopping.clone();
            let driving = AssertUnwindSafe(engine.drive(held, origin, tenure)).catch_unwind();
            let ended = tokio::select! {
                ended = driving => Some(ended),
                // The drain's time is up; the store's release lets another worker take the run.
                () = stopping.cancelled() => None,
            };
            drop(place);
            // A look into the store for each run that ends would cost more than the run.
            let ended_well = matches!(ended, Some(Ok(Ok(()))));
            if !ended_well || engine.backlog.load(Ordering::SeqCst) {
                engine.work.notify_one();
            }
            match ended {
                Some(Ok(Ok(()))) | None => {}
                Some(Ok(Err(Halt::Lost))) => {
                    tracing::info!(run.id = %id, org.id = %scope.org(), "the run went to another worker or ended");
                }
                Some(Ok(Err(halt))) => {
                    tracing::error!(run.id = %id, org.id = %scope.org(), error = &halt as &dyn std::error::Error, "a run's driver stopped");
                    engine.after_crash(&scope, id).await;
                }
                Some(Err(_)) => {
                    tracing::error!(run.id = %id, org.id = %scope.org(), "a run's driver panicked");
                    engine.after_crash(&scope, id).await;
                }
            }
        });
    }

    async fn drive(self: &Arc<Self>, held: Held, origin: Origin, tenure: u64) -> Result<(), Halt> {
        let recovery = match origin {
            Origin::Claimed { crashed } if !matches!(held.run.state, RunState::Queued { .. }) => {
                Some(Input::Recovered { crashed })
            }
            Origin::Claimed { .. } | Origin::Resumed | Origin::New { .. } => None,
        };
        let (agent, history) = self.gather(&held, origin).await.map_err(Halt::Store)?;
        let Held { scope, run, seat } = held;
        let Some(agent) = agent else {
            return self.without_agent(&scope, run, &seat.feed).await;
        };
        let specs = self.tools.specs(&scope, &agent);
        let mut driver = Driver {
            engine: self.clone(),
            scope,
            run,
            agent,
            specs,
            history,
            seat,
            tenure,
        };
        if let Some(recovery) = recovery {
            driver.recover(recovery).await?;
        }
        driver.drive().await?;
        driver.keep_history();
        Ok(())
    }

    /// What a driver needs beside the run: its agent, if the store still has it, and its thread's history.
    async fn gather(
        &self,
        held: &Held,
        origin: Origin,
    ) -> Result<(Option<Arc<Agent>>, History), StoreError> {
        let (store, scope, run) = (&self.store, &held.scope, &held.run);
        let (agent, begun) = match origin {
            Origin::New {
                agent,
                messages,
                history,
            } => (Some(agent), Some((messages, history))),
            Origin::Claimed { .. } | Origin::Resumed => (self.agent_of(run).await?, None),
        };
        let history = match (run.thread_id(), begun) {
            (Some(thread), Some((messages, count))) => {
                self.histories
                    .load(store, scope, thread, messages, count)
                    .await?
            }
            (Some(thread), None) => self.histories.read(store, scope, thread).await?,
            (None, _) => History::default(),
        };
        Ok((agent, history))
    }

    /// Ends a run whose definition is not in the store.
    async fn without_agent(&self, scope: &OrgScope, run: Run, feed: &Feed) -> Result<(), Halt> {
        let message = "the definition that this run began with is not in the store";
        let failure = Failure::new(FailureCode::AgentMissing, message);
        let ended = self.addressed(run.apply(Input::SetAside { failure }, self.clock.now())?);
        let expected = Expected {
            epoch: run.epoch,
            version: run.version,
        };
        self.commit_run(scope, &ended, expected, Holder::Nobody)
            .await
            .map_err(Halt::Store)?;
        feed.commit(ended.records);
        Ok(())
    }

    /// A driver died under its run: the run is let go, counted as crashed, and taken again or set aside.
    async fn after_crash(self: &Arc<Self>, scope: &OrgScope, id: RunId) {
        let again = async {
            let Some(run) = self.store.get_run(scope, id).await? else {
                return Ok(None);
            };
            if run.status().is_terminal() {
                return Ok(None);
            }
            let next = run.apply(Input::Recovered { crashed: true }, self.clock.now())?;
            let mut next = self.addressed(next);
            next.run.epoch += 1;
            let expected = Expected {
                epoch: run.epoch,
                version: run.version,
            };
            let holder = Holder::Worker(self.worker_id());
            self.commit_run(scope, &next, expected, holder).await?;
            self.feeds.hint(scope.org(), id);
            Ok::<_, EngineError>(Some(next.run))
        };
        match again.await {
            Ok(Some(run)) if !run.status().is_terminal() => {
                if let Ok(place) = self.places.clone().acquire_owned().await {
                    self.spawn_resumed(run, place);
                }
            }
            Ok(Some(_) | None) => {}
            Err(error) => {
                tracing::error!(run.id = %id, error = &error as &dyn std::error::Error, "a run could not be taken up again");
            }
        }
    }
}
