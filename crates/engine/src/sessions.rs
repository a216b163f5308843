//! Client-side sessions: the client's model asks for a tool, the tool runs here as a recorded step, under the same
//! policy, ledger and recovery as any other call.

use crate::driver::Mail;
use crate::{Engine, EngineError, Followed};
use domain::crash::crash_point;
use domain::event::{Event, EventBody};
use domain::lane::LaneChoice;
use domain::ports::tools::Proposed;
use domain::run::{Call, CallState, Input, Planned, Run, RunKind, RunStatus};
use domain::session::Client;
use domain::step::Step;
use domain::tool::arguments_digest;
use domain::{ApprovalId, CallId, OrgScope, RunId};
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A tool call by a session's client.
#[derive(Debug, Clone)]
pub struct ClientCall {
    pub id: CallId,
    pub name: String,
    pub arguments: Value,
}

/// What became of a client's call by the time that the client is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Executed {
    /// Over; the recorded result, the same however often it is asked for.
    Settled {
        step_index: u32,
        content: String,
        is_error: bool,
    },
    /// A person has to decide; asking again with the same id and arguments gives the result then.
    Waiting {
        step_index: u32,
        approval_id: ApprovalId,
    },
    /// Still at work; asking again with the same id and arguments waits further.
    Unfinished { step_index: u32 },
    /// The id is taken by a call with other arguments that is not over.
    IdTaken { step_index: u32 },
}

impl Engine {
    /// Runs a client's call once, however often it is asked for, and answers within `patience`.
    ///
    /// # Errors
    /// `NotFound` if there is no such session in the org, `Terminal` if it is over.
    pub async fn execute(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        call: ClientCall,
        patience: Duration,
    ) -> Result<Executed, EngineError> {
        let deadline = Instant::now() + patience;
        match self.put_call(scope, session, &call).await? {
            Put::Over(executed) => Ok(executed),
            Put::AtWork { after, step_index } => {
                self.await_call(scope, session, &call.id, after, step_index, deadline)
                    .await
            }
        }
    }

    /// Commits the call, if it is not recorded yet.
    async fn put_call(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        call: &ClientCall,
    ) -> Result<Put, EngineError> {
        let mut writing = self.writing(scope, session).await;
        loop {
            let run = self.open_session(scope, session).await?;
            let after = run.next_seq - 1;
            match self.recorded(scope, &run, call).await? {
                Recorded::Over(executed) => return Ok(Put::Over(executed)),
                Recorded::AtWork(step_index) => {
                    let step_index = Some(step_index);
                    return Ok(Put::AtWork { after, step_index });
                }
                Recorded::Moved => {}
                Recorded::New => {
                    let planned = self.plan_client_call(scope, &run, call).await?;
                    let input = Input::ClientCall {
                        planned: Box::new(planned),
                    };
                    crash_point("session.before_call_commit");
                    if self.feed_session(scope, run, input).await? {
                        crash_point("session.after_call_commit");
                        // The step's number is in the events, which begin at `after`.
                        let step_index = None;
                        return Ok(Put::AtWork { after, step_index });
                    }
                }
            }
            writing.again().await?;
        }
    }

    /// Ends a session with its client's findings. Completing a completed session changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Terminal` if it was cancelled, has failed or its time is over.
    pub async fn complete_session(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        summary: String,
        confidence: Option<f64>,
    ) -> Result<Run, EngineError> {
        let mut writing = self.writing(scope, session).await;
        loop {
            let run = match self.open_session(scope, session).await {
                Ok(run) => run,
                Err(EngineError::Terminal {
                    status: RunStatus::Completed,
                }) => return self.session(scope, session).await,
                Err(error) => return Err(error),
            };
            let input = Input::SessionCompleted {
                summary: summary.clone(),
                confidence,
            };
            crash_point("session.before_complete_commit");
            if self.feed_session(scope, run, input).await? {
                crash_point("session.after_complete_commit");
                return self.session(scope, session).await;
            }
            writing.again().await?;
        }
    }

    /// Moves a session's model to a lane that selection has chosen, as a recorded step; does nothing if it is there.
    ///
    /// # Errors
    /// `NotFound`, `Terminal` if the session is over.
    pub async fn move_session(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        lane: LaneChoice,
        client: Option<Client>,
        reason: Option<String>,
    ) -> Result<Run, EngineError> {
        let mut writing = self.writing(scope, session).await;
        loop {
            let run = self.open_session(scope, session).await?;
            let is_there = |now: &LaneChoice| now.name == lane.name && now.model == lane.model;
            if run.lane.as_ref().is_some_and(is_there) && client.is_none() {
                return Ok(run);
            }
            let input = Input::LaneMoved {
                lane: Box::new(lane.clone()),
                client: client.clone(),
                reason: reason.clone(),
            };
            if self.feed_session(scope, run, input).await? {
                return self.session(scope, session).await;
            }
            writing.again().await?;
        }
    }

    /// The session, in whatever state it is.
    ///
    /// # Errors
    /// `NotFound` if there is no such run or it is not a session.
    pub async fn session(&self, scope: &OrgScope, session: RunId) -> Result<Run, EngineError> {
        let run = self
            .store
            .get_run(scope, session)
            .await?
            .ok_or(EngineError::NotFound)?;
        match run.kind {
            RunKind::Session { .. } => Ok(run),
            RunKind::Thread { .. } => Err(EngineError::NotFound),
        }
    }

    /// The session if its client may still use it.
    ///
    /// # Errors
    /// `NotFound`; `Terminal` if it is over, also where only its time is.
    pub async fn open_session(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
    ) -> Result<Run, EngineError> {
        let run = self.session(scope, session).await?;
        if run.status().is_terminal() {
            return Err(EngineError::Terminal {
                status: run.status(),
            });
        }
        if run.hold.is_some() {
            return Err(EngineError::OnHold);
        }
        if let RunKind::Session { expires_at, .. } = &run.kind
            && *expires_at <= self.clock.now()
        {
            self.expire_session(scope, run).await?;
            return Err(EngineError::Terminal {
                status: RunStatus::Failed,
            });
        }
        Ok(run)
    }

    /// Ends a session whose time is over; does nothing if it has ended or moved.
    pub(crate) async fn expire_session(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: Run,
    ) -> Result<(), EngineError> {
        self.feed_session(scope, run, Input::SessionExpired)
            .await
            .map(|_| ())
    }

    async fn plan_client_call(
        &self,
        scope: &OrgScope,
        run: &Run,
        call: &ClientCall,
    ) -> Result<Planned, EngineError> {
        let agent = self.agent_of(run).await?.ok_or(EngineError::NotFound)?;
        let proposed = Proposed {
            client_id: Some(call.id.clone()),
            name: call.name.clone(),
            arguments: call.arguments.to_string(),
        };
        let planned = self.plan(scope, run, agent, &[], vec![proposed]).await?;
        planned.into_iter().next().ok_or(EngineError::NotFound)
    }

    /// Feeds the session's driver if it has one here, else commits from outside. False if the run moved meanwhile.
    pub(crate) async fn feed_session(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: Run,
        input: Input,
    ) -> Result<bool, EngineError> {
        if self.drivers.has(scope.org(), run.id) {
            let (reply, answer) = oneshot::channel();
            let letter = || Mail::Feed {
                input: Box::new(input),
                version: run.version,
                reply,
            };
            if self.drivers.post(scope.org(), run.id, letter).await
                && let Ok(answer) = answer.await
            {
                return answer;
            }
            return Ok(false);
        }
        self.advance(scope, run, input).await
    }

    async fn recorded(
        &self,
        scope: &OrgScope,
        run: &Run,
        call: &ClientCall,
    ) -> Result<Recorded, EngineError> {
        let Some(step) = self.store.find_call(scope, run.id, &call.id).await? else {
            return Ok(Recorded::New);
        };
        let open = run.calls().iter().find(|open| open.id == call.id);
        let same = step.call.as_ref().is_some_and(|ledger| {
            ledger.was_asked_with(&arguments_digest(&call.arguments)) && step.name == call.name
        });
        Ok(match (open, same) {
            // The step is newer than the run that was read.
            (None, _) if step.completed_at.is_none() => Recorded::Moved,
            (None, true) => Recorded::Over(settled(&step)),
            (None, false) => Recorded::New,
            (Some(_), false) => Recorded::Over(Executed::IdTaken {
                step_index: step.step_index,
            }),
            (Some(open), true) => at_work(open),
        })
    }

    /// Watches the session's log from `after` on until the call is over, waits for a person, or time is up.
    async fn await_call(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        call: &CallId,
        after: u64,
        mut step_index: Option<u32>,
        deadline: Instant,
    ) -> Result<Executed, EngineError> {
        let mut events = std::pin::pin!(self.follow(scope, session, after, true));
        loop {
            let followed = match tokio::time::timeout_at(deadline, events.next()).await {
                Ok(Some(followed)) => followed?,
                Ok(None) | Err(_) => break,
            };
            let Followed::Events(events) = followed else {
                break;
            };
            for event in events {
                if let Some(executed) = news_of(&event, call, &mut step_index) {
                    crash_point("session.before_answer");
                    return Ok(executed);
                }
            }
        }
        let step_index = match step_index {
            Some(step_index) => step_index,
            None => {
                let step = self.store.find_call(scope, session, call).await?;
                step.ok_or(EngineError::NotFound)?.step_index
            }
        };
        Ok(Executed::Unfinished { step_index })
    }
}

/// A call that is recorded.
enum Put {
    Over(Executed),
    /// What becomes of it is told by the events above `after`; so is its step, where it is not known yet.
    AtWork {
        after: u64,
        step_index: Option<u32>,
    },
}

enum Recorded {
    New,
    /// The run was written between two looks; look again.
    Moved,
    AtWork(u32),
    Over(Executed),
}

fn settled(step: &Step) -> Executed {
    let content = match &step.output {
        Value::String(content) => content.clone(),
        other => other.to_string(),
    };
    Executed::Settled {
        step_index: step.step_index,
        content,
        is_error: step.is_error,
    }
}

fn at_work(open: &Call) -> Recorded {
    match &open.state {
        CallState::Waiting { approval_id, .. } => Recorded::Over(Executed::Waiting {
            step_index: open.step_index,
            approval_id: *approval_id,
        }),
        CallState::Prepared
        | CallState::Granted { .. }
        | CallState::Dispatched { .. }
        | CallState::Probing { .. }
        | CallState::Settled { .. } => Recorded::AtWork(open.step_index),
    }
}

/// What an event says of the call: that it is over, or that a person must decide.
fn news_of(event: &Event, call: &CallId, step_index: &mut Option<u32>) -> Option<Executed> {
    match &event.body {
        EventBody::ToolCallRequested {
            step_index: index,
            tool_call_id,
            ..
        } if tool_call_id == call => {
            *step_index = Some(*index);
            None
        }
        EventBody::ToolCallCompleted {
            step_index,
            tool_call_id,
            content,
            is_error,
            ..
        } if tool_call_id == call => Some(Executed::Settled {
            step_index: *step_index,
            content: content.clone(),
            is_error: *is_error,
        }),
        EventBody::ApprovalRequested { approval } if approval.call_id == *call => {
            Some(Executed::Waiting {
                step_index: (*step_index)?,
                approval_id: approval.id,
            })
        }
        _ => None,
    }
}
