//! Responses whose tools are run here: model, tools, model, until the model needs no more of them, a person has to decide,
//! or a limit is reached. Each round is a response of its own, committed before its tools run, and each tool call is the
//! session's, recorded under its id: so whoever goes on after a crash finds what was done, and nothing is done twice.

use super::chain::{Link, is_too_long};
use super::{InferError, InferEvent, InferRequest, Inference, Turn, cut, replay, unrecorded};
use crate::{ClientCall, Engine, EngineError, Executed};
use domain::failure::Failure;
use domain::limits::{CALLS_PER_TURN_MAX, RESPONSE_ROUNDS_MAX};
use domain::message::{Content, Message, Role, ToolCall};
use domain::ports::clock::Clock;
use domain::response::{Response, ResponseId};
use domain::{MessageId, OrgScope, RunId};
use futures::StreamExt;
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that wait for a slow client before the model is held up.
const BUFFERED_EVENTS: usize = 256;

/// Past the longest that a tool may take, for its result to be recorded.
const GRACE: Duration = Duration::from_secs(30);

/// Why a response ended before its model was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A call waits for a person.
    Approval,
    /// A call takes longer than any may.
    Running,
    Budget(Failure),
    /// `limits::RESPONSE_ROUNDS_MAX` rounds, or the chain is too long.
    Rounds,
}

/// Repeatable responses that this process is making: the same request again must not make one beside.
#[derive(Default)]
pub(crate) struct Answering(Mutex<HashSet<ResponseId>>);

/// Held while the response is made.
pub(crate) struct Answers {
    answering: Arc<Answering>,
    id: ResponseId,
}

impl Answering {
    /// `None` if it is being made.
    fn enter(self: &Arc<Self>, id: ResponseId) -> Option<Answers> {
        let mut ids = self.0.lock().expect("no holder of this lock panics");
        ids.insert(id).then(|| Answers {
            answering: self.clone(),
            id,
        })
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let ids = self.answering.0.lock();
        ids.expect("no holder of this lock panics").remove(&self.id);
    }
}

/// The number of the round that follows those made.
pub(super) fn number_after(made: &[Arc<Link>]) -> u32 {
    u32::try_from(made.len()).map_or(u32::MAX, |made| made + 1)
}

impl Turn {
    /// The round after this one, which `response` is.
    fn following(self, response: Response, message_id: MessageId, clock: &dyn Clock) -> Self {
        let mut request = self.request;
        request.input = Vec::new();
        Self {
            round: self.round + 1,
            parent: Some(Arc::new(Link::new(response, self.parent))),
            message_id,
            started_at: clock.now(),
            request,
            ..self
        }
    }
}

impl Engine {
    /// The response's id, and what was made of it already where the request may be sent again.
    pub(super) async fn begin_response(
        &self,
        scope: &OrgScope,
        session: RunId,
        request: &InferRequest,
    ) -> Result<(ResponseId, Option<Answers>, Vec<Arc<Link>>), InferError> {
        let Some(id) = request.id else {
            return Ok((ResponseId::new(self.clock.uuid()), None, Vec::new()));
        };
        let answers = self.answering.enter(id).ok_or(InferError::InProgress)?;
        let mut made = self.rounds_of(scope, session, id).await?;
        made.extend(self.find_link(scope, session, id).await?);
        Ok((id, Some(answers), made))
    }

    /// Makes the response in a task of its own, after telling again what was `made` of it already.
    pub(super) fn set_going(
        self: &Arc<Self>,
        scope: &OrgScope,
        turn: Turn,
        made: Vec<Arc<Link>>,
        answers: Option<Answers>,
    ) -> Inference {
        let (id, started_at) = (turn.id, turn.started_at);
        let first = made.first().map(|link| link.response.output.id);
        let message_id = first.unwrap_or(turn.message_id);
        let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
        let (engine, scope) = (self.clone(), scope.clone());
        self.tasks.spawn(async move {
            let _answers = answers;
            for event in replay::events(&made) {
                let _ = sender.send(event).await;
            }
            let last = engine.answer(&scope, turn, message_id, &sender).await;
            let _ = sender.send(last).await;
        });
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        Inference {
            id,
            message_id,
            started_at,
            events: events.boxed(),
        }
    }

    /// Makes the response round by round. What is said of the message `told` is told already.
    async fn answer(
        self: &Arc<Self>,
        scope: &OrgScope,
        mut turn: Turn,
        told: MessageId,
        client: &mpsc::Sender<InferEvent>,
    ) -> InferEvent {
        loop {
            match self.run_calls(scope, &turn, client).await {
                Ok(results) => {
                    turn.request.input.splice(0..0, results);
                }
                Err(last) => return last,
            }
            if turn.message_id != told {
                let _ = client.send(InferEvent::Round(turn.message_id)).await;
            }
            let response = match self.make_turn(scope, &turn, client).await {
                InferEvent::Done(response) if response.runs_tools => response,
                last => return last,
            };
            let _ = client.send(InferEvent::Asked(response.clone())).await;
            if let Some(last) = self.limit(scope, &turn, &response).await {
                return last;
            }
            let message_id = MessageId::new(self.clock.uuid());
            turn = turn.following(*response, message_id, &*self.clock);
        }
    }

    /// Runs the calls of the response that the turn continues, if they are run here: all at once, told in the order asked.
    async fn run_calls(
        self: &Arc<Self>,
        scope: &OrgScope,
        turn: &Turn,
        client: &mpsc::Sender<InferEvent>,
    ) -> Result<Vec<Message>, InferEvent> {
        let asked = turn.parent.as_ref().filter(|it| it.response.runs_tools);
        let Some(asked) = asked else {
            return Ok(Vec::new());
        };
        let session = turn.run.id;
        let calls = &asked.response.output.tool_calls;
        let begun: Vec<_> = calls
            .iter()
            .map(|call| self.run_call(scope, session, call))
            .collect();
        let mut ended = futures::stream::iter(begun).buffered(CALLS_PER_TURN_MAX);
        let (mut results, mut stop) = (Vec::new(), None);
        for call in calls {
            let executed = tokio::select! {
                executed = ended.next() => executed,
                () = self.stopping.cancelled() => None,
            };
            let event = match executed {
                Some(Ok(Executed::Settled {
                    content, is_error, ..
                })) => {
                    results.push(self.result(session, call, &content, is_error));
                    InferEvent::Called {
                        call: call.clone(),
                        content,
                        is_error,
                    }
                }
                Some(Ok(Executed::Waiting { approval_id, .. })) => {
                    stop = Some(Stop::Approval);
                    InferEvent::Waiting {
                        call: call.clone(),
                        approval_id,
                    }
                }
                Some(Ok(Executed::Unfinished { .. } | Executed::IdTaken { .. })) => {
                    stop = stop.or(Some(Stop::Running));
                    continue;
                }
                Some(Err(error)) => return Err(unrecorded(session, &error)),
                None => return Err(InferEvent::Failed(cut("the server is shutting down"))),
            };
            let _ = client.send(event).await;
        }
        match stop {
            None => Ok(results),
            Some(stop) => Err(InferEvent::Stopped(stop)),
        }
    }

    fn run_call(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        call: &ToolCall,
    ) -> BoxFuture<'static, Result<Executed, EngineError>> {
        let (engine, scope) = (self.clone(), scope.clone());
        let call = ClientCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        let patience = self.settings.tool_limit + GRACE;
        Box::pin(async move { engine.execute(&scope, session, call, patience).await })
    }

    fn result(&self, session: RunId, call: &ToolCall, content: &str, is_error: bool) -> Message {
        Message {
            id: MessageId::new(self.clock.uuid()),
            role: Role::Tool,
            content: Content::Text(content.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: Some(call.id.clone()),
            is_error,
            reasoning: None,
            run_id: Some(session),
            created_at: self.clock.now(),
        }
    }

    /// What ends the response although its model would go on.
    async fn limit(
        &self,
        scope: &OrgScope,
        turn: &Turn,
        response: &Response,
    ) -> Option<InferEvent> {
        if turn.round >= RESPONSE_ROUNDS_MAX || is_too_long(response) {
            return Some(InferEvent::Stopped(Stop::Rounds));
        }
        match self.session(scope, turn.run.id).await {
            Ok(run) => run
                .exhausted()
                .map(|failure| InferEvent::Stopped(Stop::Budget(failure))),
            Err(error) => Some(unrecorded(turn.run.id, &error)),
        }
    }
}
