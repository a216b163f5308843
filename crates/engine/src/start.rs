//! A new run: committed with its first events, and driven from here if its thread is free.

use crate::{Engine, EngineError, gate_of};
use domain::agent::{Agent, OnMessage};
use domain::crash::crash_point;
use domain::ports::store::{CreateRun, CreatedRun, Idempotency, Seen, StoreError};
use domain::run::{Input, NewRun, Run, RunKind, RunStatus};
use domain::{OrgScope, RunId};
use std::sync::Arc;
use std::time::Instant;

/// Times that `interrupt` clears a thread before it gives up on a crowd.
const INTERRUPT_TRIES: u32 = 16;

/// Definitions kept in memory; an agent that is edited all day must not fill it.
const AGENT_VERSIONS_KEPT: usize = 1_000;

/// What to do when the thread has a run at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBusy {
    #[default]
    Reject,
    Enqueue,
    /// Cancel the run at work, then begin.
    Interrupt,
}

pub struct StartRun {
    pub new: NewRun,
    pub agent: Arc<Agent>,
    pub on_busy: OnBusy,
    /// What to do instead where the run at work waits for a person.
    pub on_waiting: Option<OnMessage>,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug)]
pub enum Started {
    /// Committed: at work, or queued.
    Run(Box<Run>),
    Busy {
        run_id: RunId,
        status: RunStatus,
    },
    QueueFull,
    NoThread,
    Seen(Seen),
}

impl Engine {
    /// Commits a new run; on return it is on disk and, if not queued, under way.
    pub async fn start_run(
        self: &Arc<Self>,
        scope: &OrgScope,
        start: StartRun,
    ) -> Result<Started, EngineError> {
        let StartRun {
            mut new,
            agent,
            on_busy,
            on_waiting,
            idempotency,
        } = start;
        let mut on_busy = on_busy;
        new.request.gated = gate_of(&agent).is_some();
        for _ in 0..INTERRUPT_TRIES {
            if self.is_draining() {
                return Err(EngineError::Draining);
            }
            if on_busy == OnBusy::Enqueue {
                self.refuse_behind_exported(scope, &new.kind).await?;
            }
            self.keep_agent(&agent).await?;
            let outcome = self
                .create(scope, &new, &agent, on_busy, idempotency.clone())
                .await?;
            match (outcome, on_busy) {
                (Started::Busy { run_id, .. }, OnBusy::Interrupt) => {
                    let reason = Some("interrupted by a newer message".to_owned());
                    match self
                        .cancel(scope, run_id, reason, Some(&new.created_by))
                        .await
                    {
                        Ok(_) | Err(EngineError::Terminal { .. } | EngineError::NotFound) => {}
                        Err(error) => return Err(error),
                    }
                }
                (
                    Started::Busy {
                        run_id,
                        status: RunStatus::AwaitingApproval,
                    },
                    OnBusy::Reject,
                ) if matches!(
                    on_waiting,
                    Some(OnMessage::Queue | OnMessage::DenyAndContinue)
                ) =>
                {
                    if on_waiting == Some(OnMessage::DenyAndContinue) {
                        self.deny_all(scope, run_id, &new.created_by).await?;
                    }
                    on_busy = OnBusy::Enqueue;
                }
                (outcome, _) => return Ok(outcome),
            }
        }
        Err(EngineError::Contended)
    }

    async fn create(
        self: &Arc<Self>,
        scope: &OrgScope,
        new: &NewRun,
        agent: &Arc<Agent>,
        on_busy: OnBusy,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, EngineError> {
        let at = self.clock.now();
        let queued = Run::create(new.clone(), at);
        let session = matches!(new.kind, RunKind::Session { .. });
        // A place is taken before the commit, so that a run said to be running is.
        let place = if session { None } else { self.place() };
        let (started, queued) = if place.is_some() || session {
            let mut begun = queued.run.apply(Input::Start, at)?;
            begun.records.splice(0..0, queued.records.iter().cloned());
            begun.run.version = queued.run.version;
            (
                self.addressed(begun),
                (on_busy == OnBusy::Enqueue).then_some(queued),
            )
        } else {
            let waiting = (on_busy == OnBusy::Enqueue).then(|| queued.clone());
            (queued, waiting)
        };
        let feed = self.feeds.open(scope.org(), new.id);
        // Left again at the end, unless the run goes to its driver.
        let seat = place.as_ref().and_then(|_| self.drivers.enter(feed, 0));
        crash_point("run.before_create");
        let create = CreateRun {
            started,
            queued,
            worker: self.worker_id(),
            idempotency,
        };
        let begun = Instant::now();
        let created = self.store.create_run(scope, &create).await;
        if matches!(created, Ok(CreatedRun::Started { .. } | CreatedRun::Queued)) {
            self.counters.started(begun);
        }
        crash_point("run.after_create");
        let CreateRun {
            started, queued, ..
        } = create;
        Ok(match created? {
            CreatedRun::Started { history } => {
                let run = started.run;
                if let (Some(seat), Some(place)) = (seat, place) {
                    seat.feed.commit(started.records);
                    let begun = (started.messages, history);
                    self.spawn_new(scope, run.clone(), agent.clone(), seat, place, begun);
                } else if !session {
                    self.left_in_store();
                }
                Started::Run(Box::new(run))
            }
            CreatedRun::Queued => Started::Run(Box::new(queued.map_or(started.run, |it| it.run))),
            CreatedRun::Busy { run_id, status } => Started::Busy { run_id, status },
            CreatedRun::QueueFull => Started::QueueFull,
            CreatedRun::NoThread => Started::NoThread,
            CreatedRun::Seen(seen) => Started::Seen(seen),
        })
    }

    /// A run that went elsewhere never ends here, so nothing may wait for it.
    async fn refuse_behind_exported(
        &self,
        scope: &OrgScope,
        kind: &RunKind,
    ) -> Result<(), EngineError> {
        let RunKind::Thread { thread_id } = kind else {
            return Ok(());
        };
        let thread = self.store.get_thread(scope, *thread_id).await?;
        let Some(active) = thread.and_then(|thread| thread.active_run) else {
            return Ok(());
        };
        let active = self.store.get_run(scope, active).await?;
        match active.and_then(|run| run.hold) {
            Some(hold) if hold.is_elsewhere() => Err(EngineError::OnHold),
            _ => Ok(()),
        }
    }

    /// A run keeps the definition it began with, also when the file has changed and the process is another.
    async fn keep_agent(&self, agent: &Arc<Agent>) -> Result<(), EngineError> {
        if self.known_agent(&agent.version).is_none() {
            self.store.system_put_agent(agent).await?;
            self.remember_agent(agent.clone());
        }
        Ok(())
    }

    /// The definition that a run began with; `None` if the store has lost it.
    pub(crate) async fn agent_of(&self, run: &Run) -> Result<Option<Arc<Agent>>, StoreError> {
        if let Some(agent) = self.known_agent(&run.agent_version) {
            return Ok(Some(agent));
        }
        let stored = self
            .store
            .system_get_agent(&run.agent_type, &run.agent_version)
            .await?;
        let agent = stored.map(Arc::new);
        if let Some(agent) = &agent {
            self.remember_agent(agent.clone());
        }
        Ok(agent)
    }

    fn known_agent(&self, version: &str) -> Option<Arc<Agent>> {
        self.agents
            .lock()
            .expect("no holder of this lock panics")
            .get(version)
            .cloned()
    }

    fn remember_agent(&self, agent: Arc<Agent>) {
        let mut agents = self.agents.lock().expect("no holder of this lock panics");
        if agents.len() >= AGENT_VERSIONS_KEPT {
            agents.clear();
        }
        agents.insert(agent.version.clone(), agent);
    }
}
