//! Inference turns for sessions whose device cannot run the model: context from the chain of responses, one model turn,
//! and a record of it. The turn is recorded also when its client has gone. Where the tools are run here, `rounds` goes on
//! until the model needs no more of them.

mod attempt;
mod chain;
mod heard;
mod replay;
mod rounds;
mod tools;

pub(crate) use chain::Chains;
pub(crate) use rounds::Answering;
pub use rounds::Stop;

use crate::{Engine, EngineError, gate_of};
use chain::{Link, check_answers, is_too_long};
use domain::agent::Agent;
use domain::budget::Account;
use domain::crash::crash_point;
use domain::event::PieceKind;
use domain::failure::{Failure, FailureCode};
use domain::gate::{GateInput, GateRecord};
use domain::lane::{Considered, LaneKind, SERVER_KINDS, Wishes};
use domain::limits::TURN_ATTEMPTS_MAX;
use domain::message::{Content, Message, Reasoning, Role, ToolCall};
use domain::ports::model::{AskedCall, TurnFinish};
use domain::response::{Response, ResponseId};
use domain::run::{ClientTurn, Input, Run};
use domain::seeded::Seeded;
use domain::tool::ToolSpec;
use domain::{ApprovalId, CallId, MessageId, OrgScope, RunId, Timestamp};
use futures::stream::BoxStream;
use heard::Heard;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Attempts of one turn, the first included.
const ATTEMPTS_MAX: usize = TURN_ATTEMPTS_MAX as usize;

/// What a session's client asks of the model.
#[derive(Debug, Clone)]
pub struct InferRequest {
    /// The response's id where the request may be sent again: what was made of it by then is told again, and goes on.
    pub id: Option<ResponseId>,
    /// The model that the client believes to use; it must be the session's.
    pub model: Option<String>,
    /// New items: user messages, and results of calls that an earlier response asked for. Empty only where a response
    /// goes on that waited for its tools.
    pub input: Vec<Message>,
    pub previous: Option<ResponseId>,
    /// Only these of the session's tools; absent means all.
    pub tools: Option<Vec<String>>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f64>,
    /// The model's calls are run here; else they go to the client.
    pub runs_tools: bool,
    /// The client is told the answer when it is whole, so that an attempt which broke off can be made again.
    pub whole: bool,
}

/// A turn that has begun.
pub struct Inference {
    /// The id that its response will have, if it gets that far.
    pub id: ResponseId,
    pub message_id: MessageId,
    pub started_at: Timestamp,
    pub events: BoxStream<'static, InferEvent>,
}

/// What the client is told, in order; the last is `Done` or `Failed`.
#[derive(Debug, Clone)]
pub enum InferEvent {
    Text(String),
    Reasoning(String),
    /// The model broke off, and what it said of this round is void; the next attempt's text is of this message. Only
    /// where the client is told the answer whole.
    Restarted(MessageId),
    /// The round ended with calls that are run here.
    Asked(Box<Response>),
    /// One of them is over.
    Called {
        call: ToolCall,
        content: String,
        is_error: bool,
    },
    /// One of them waits for a person.
    Waiting {
        call: ToolCall,
        approval_id: ApprovalId,
    },
    /// The next round begins; its text is of this message.
    Round(MessageId),
    Done(Box<Response>),
    /// It ended before the model was done, and can be gone on with.
    Stopped(Stop),
    Failed(Failure),
}

/// Why a turn was not begun.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// Unknown, foreign or expired; the three cannot be told apart.
    #[error("no such response in this session")]
    PreviousNotFound,
    #[error("the session's model is {session}, not {asked}")]
    ModelMismatch { session: String, asked: String },
    #[error("the chain of responses is too long")]
    ChainTooLong,
    /// A result without its call, or a call without its result.
    #[error("the input does not answer the calls of the response that it continues")]
    UnansweredCalls { missing: Vec<CallId> },
    /// Policy or models leave no lane of the server's: the device has to go on alone.
    #[error("no lane of this server may serve the session")]
    NoLane { considered: Vec<Considered> },
    #[error("the input is empty, and nothing waits to go on")]
    EmptyInput,
    /// The same request is being answered.
    #[error("the response is being made")]
    InProgress,
    #[error("the session's budget allows no other turn")]
    Exhausted(Failure),
    #[error("the session has no tool {unknown}")]
    UnknownTool { unknown: String, known: Vec<String> },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A turn that was found in order, on its way to the model.
struct Turn {
    /// Of the response; rounds before its last are kept under ids made from it.
    id: ResponseId,
    /// 1 for the first.
    round: u32,
    message_id: MessageId,
    run: Run,
    wishes: Wishes,
    account: Account,
    parent: Option<Arc<Link>>,
    request: InferRequest,
    agent: Arc<Agent>,
    specs: Arc<[ToolSpec]>,
    started_at: Timestamp,
}

impl Engine {
    /// Begins an inference turn of a session that the caller may use.
    ///
    /// # Errors
    /// As `InferError` says; nothing is recorded then.
    pub async fn infer(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        mut request: InferRequest,
    ) -> Result<Inference, InferError> {
        let run = self.open_session(scope, session).await?;
        if let (Some(asked), Some(model)) = (&request.model, &run.request.model)
            && asked != model
            && !Seeded::ForeignModel.is_on()
        {
            return Err(InferError::ModelMismatch {
                session: model.clone(),
                asked: asked.clone(),
            });
        }
        let (id, answering, made) = self.begin_response(scope, session, &request).await?;
        if made.last().is_some_and(|link| !link.response.runs_tools) {
            return Ok(replay::inference(id, &made));
        }
        let parent = match (made.last(), request.previous) {
            (Some(round), _) => {
                request.input.clear();
                Some(round.clone())
            }
            (None, Some(previous)) => Some(self.link(scope, session, previous).await?),
            (None, None) => None,
        };
        if !Seeded::AnswersUnchecked.is_on() {
            check_answers(parent.as_deref(), &request.input)?;
        }
        if parent
            .as_ref()
            .is_some_and(|parent| is_too_long(&parent.response))
        {
            return Err(InferError::ChainTooLong);
        }
        if let Some(failure) = run.exhausted() {
            return Err(InferError::Exhausted(failure));
        }
        let agent = self.agent_of(&run).await.map_err(EngineError::Store)?;
        let agent = agent.ok_or(EngineError::NotFound)?;
        let specs = tools::offered(&self.tools.specs(scope, &agent), &request)?;
        let turn = Turn {
            id,
            round: rounds::number_after(&made),
            message_id: MessageId::new(self.clock.uuid()),
            wishes: self.server_wishes(scope, &run, &agent)?,
            account: Account {
                agent_type: agent.agent_type.clone(),
                daily: agent.daily,
            },
            run,
            parent,
            request,
            specs,
            agent,
            started_at: self.clock.now(),
        };
        Ok(self.set_going(scope, turn, made, answering))
    }

    /// The session's model where a lane here has it; else, for a session whose model is the device's own, what its agent
    /// would use, so that the server can take over.
    fn server_wishes(
        &self,
        scope: &OrgScope,
        run: &Run,
        agent: &Agent,
    ) -> Result<Wishes, InferError> {
        let mut wishes = Wishes {
            models: run.request.model.iter().cloned().collect(),
            pinned: run.request.lane.clone(),
            max_price_micro_usd: run.request.budget.max_price_micro_usd,
            sticky: Some(run.sticky_key()),
            ..Wishes::of(agent, &SERVER_KINDS)
        };
        // After the first turn here the lane is one of ours, with a model that is not the session's.
        let is_its_own = run.lane.as_ref().is_none_or(|lane| {
            lane.kind == LaneKind::Device || run.request.model.as_ref() != Some(&lane.model)
        });
        let mut others = [agent.models.clone(), Vec::new()].into_iter();
        loop {
            let selection = self.models.select(scope, &wishes);
            if !selection.candidates.is_empty() {
                return Ok(wishes);
            }
            match others.next().filter(|_| is_its_own) {
                Some(models) => wishes.models = models,
                None => {
                    let considered = selection.considered;
                    return Err(InferError::NoLane { considered });
                }
            }
        }
    }

    async fn make_turn(
        self: &Arc<Self>,
        scope: &OrgScope,
        turn: &Turn,
        client: &mpsc::Sender<InferEvent>,
    ) -> InferEvent {
        let mut heard = Heard::new(turn.started_at, turn.message_id);
        if let Some(record) = self.judge_turn(scope, turn).await {
            let reply = record.decision.reply.clone();
            let stops = record.decision.stops();
            heard.gate = Some(Box::new(record));
            if stops {
                heard.hear(PieceKind::Text, &reply, self.clock.now());
                let _ = client.send(InferEvent::Text(reply)).await;
                let response = self.response(turn, &mut heard, TurnFinish::default());
                return self.record_turn(scope, turn, heard, Ok(response)).await;
            }
        }
        let mut failed_lanes = Vec::new();
        loop {
            let tried = self.attempt(scope, turn, &failed_lanes, &mut heard, client);
            let error = match tried.await {
                Ok(finish) => {
                    let response = self.response(turn, &mut heard, finish);
                    return self.record_turn(scope, turn, heard, Ok(response)).await;
                }
                Err(error) => error,
            };
            // Before the first token the lanes have their own retries; failing there is final.
            let breaks_off = error.retry && !heard.block.pieces.is_empty();
            let lane = error.lane.filter(|_| breaks_off && turn.request.whole);
            let Some(lane) = lane.filter(|_| failed_lanes.len() < ATTEMPTS_MAX - 1) else {
                let failed = Err(error.failure);
                return self.record_turn(scope, turn, heard, failed).await;
            };
            failed_lanes.push(lane);
            let next = Heard::new(self.clock.now(), MessageId::new(self.clock.uuid()));
            let message_id = next.block.message_id;
            let broken = std::mem::replace(&mut heard, next);
            match self
                .record_broken(scope, turn, broken, &error.failure)
                .await
            {
                Ok(run) if run.exhausted().is_some() => return InferEvent::Failed(error.failure),
                Ok(_) => {}
                Err(error) => return unrecorded(turn.run.id, &error),
            }
            let _ = client.send(InferEvent::Restarted(message_id)).await;
        }
    }

    /// The agent's gate on what the user says in this turn. Results of calls alone are nothing that a user says.
    async fn judge_turn(&self, scope: &OrgScope, turn: &Turn) -> Option<GateRecord> {
        gate_of(&turn.agent)?;
        let new: Vec<Arc<Message>> = turn.request.input.iter().cloned().map(Arc::new).collect();
        let mut input = GateInput::of(&new);
        if input.text.is_empty() {
            return None;
        }
        if let Some(parent) = turn.parent.as_ref().filter(|_| input.before.is_empty()) {
            input.before = parent.response.output.content.text();
        }
        let since = self.clock.now();
        let judging = self
            .gatekeeper
            .judge(scope, &turn.agent, turn.run.id, &input);
        let decision = judging.await;
        Some(GateRecord {
            since,
            input,
            decision,
        })
    }

    fn response(&self, turn: &Turn, heard: &mut Heard, finish: TurnFinish) -> Response {
        heard.usage.add(&finish.usage);
        let output = Message {
            id: heard.block.message_id,
            role: Role::Assistant,
            content: Content::Text(heard.text.clone()),
            tool_calls: finish
                .calls
                .into_iter()
                .map(|call| self.tool_call(call))
                .collect(),
            tool_call_id: None,
            is_error: false,
            reasoning: (!heard.reasoning.is_empty() || !finish.signatures.is_empty()).then(|| {
                Reasoning {
                    text: heard.reasoning.clone(),
                    signatures: finish.signatures,
                }
            }),
            run_id: Some(turn.run.id),
            created_at: self.clock.now(),
        };
        let runs_tools = turn.request.runs_tools && !output.tool_calls.is_empty();
        let id = if runs_tools {
            turn.id.round(turn.round)
        } else {
            turn.id
        };
        let parent = turn.parent.as_ref().map(|link| &link.response);
        let own = bytes(&turn.request.input) + bytes(std::slice::from_ref(&output));
        Response {
            id,
            session: turn.run.id,
            parent: parent.map(|parent| parent.id),
            depth: parent.map_or(0, |parent| parent.depth) + 1,
            chain_bytes: parent.map_or(0, |parent| parent.chain_bytes) + own,
            input: turn.request.input.clone(),
            output,
            model: heard
                .lane
                .as_ref()
                .map_or_else(String::new, |lane| lane.model.clone()),
            usage: heard.usage,
            truncated: finish.truncated,
            runs_tools,
            gate: heard
                .gate
                .as_ref()
                .map(|gate| Box::new(gate.decision.clone())),
            created_at: self.clock.now(),
        }
    }

    fn tool_call(&self, asked: AskedCall) -> ToolCall {
        let arguments =
            serde_json::from_str(&asked.arguments).unwrap_or(Value::String(asked.arguments));
        ToolCall {
            id: CallId::minted(self.clock.uuid()),
            name: asked.name,
            arguments,
        }
    }

    /// What the client is told last is on disk by then.
    async fn record_turn(
        self: &Arc<Self>,
        scope: &OrgScope,
        turn: &Turn,
        heard: Heard,
        outcome: Result<Response, Failure>,
    ) -> InferEvent {
        let session = turn.run.id;
        let recorded = recorded(heard, outcome.clone());
        match self.commit_turn(scope, session, recorded).await {
            Ok(()) => self.told(scope, turn.parent.clone(), outcome),
            Err(error) => unrecorded(session, &error),
        }
    }

    /// An attempt that another follows. Returns the session after it.
    async fn record_broken(
        self: &Arc<Self>,
        scope: &OrgScope,
        turn: &Turn,
        heard: Heard,
        failure: &Failure,
    ) -> Result<Run, EngineError> {
        let recorded = recorded(heard, Err(failure.clone()));
        self.commit_turn(scope, turn.run.id, recorded).await?;
        self.session(scope, turn.run.id).await
    }

    async fn commit_turn(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        turn: ClientTurn,
    ) -> Result<(), EngineError> {
        let mut writing = self.writing(scope, session).await;
        loop {
            let run = self.open_session(scope, session).await?;
            let input = Input::ClientTurn(Box::new(turn.clone()));
            crash_point("response.before_commit");
            if self.feed_session(scope, run, input).await? {
                crash_point("response.after_commit");
                return Ok(());
            }
            writing.again().await?;
        }
    }

    fn told(
        &self,
        scope: &OrgScope,
        parent: Option<Arc<Link>>,
        outcome: Result<Response, Failure>,
    ) -> InferEvent {
        match outcome {
            Ok(response) => {
                let link = Link::new(response.clone(), parent);
                self.chains.keep(scope, Arc::new(link));
                InferEvent::Done(Box::new(response))
            }
            Err(failure) => InferEvent::Failed(failure),
        }
    }
}

fn recorded(heard: Heard, outcome: Result<Response, Failure>) -> ClientTurn {
    ClientTurn {
        started_at: heard.block.started_at,
        gate: heard.gate,
        deltas: Some(heard.block),
        usage: heard.usage,
        lane: heard.lane,
        outcome,
    }
}

fn bytes(messages: &[Message]) -> u64 {
    messages
        .iter()
        .map(|message| message.content.text().len() as u64 + 64)
        .sum()
}

fn cut(message: &str) -> Failure {
    Failure::new(FailureCode::ModelUnavailable, message)
}

fn unrecorded(session: RunId, error: &EngineError) -> InferEvent {
    tracing::warn!(session.id = %session, error = error as &dyn std::error::Error, "an inference turn could not be recorded");
    InferEvent::Failed(Failure::new(
        FailureCode::Internal,
        "the turn could not be recorded",
    ))
}
