//! Makes one attempt of a model turn: tells its deltas as they come and feeds the outcome to the run.

use super::commit::PAUSE_MAX;
use super::{Driver, Halt, Interruption, Mail};
use domain::budget::Account;
use domain::crash::crash_point;
use domain::event::{DeltaBlock, Piece, PieceKind};
use domain::failure::{Failure, FailureCode};
use domain::lane::{LaneChoice, SERVER_KINDS, Wishes};
use domain::limits::{TURN_BYTES_MAX, TURN_EVENTS_MAX};
use domain::message::Reasoning;
use domain::ports::model::{ModelError, TurnEvent, TurnFinish, TurnRequest};
use domain::ports::store::StoreError;
use domain::ports::tools::Proposed;
use domain::run::{FailedAttempt, Input, Planned, TurnAnswer, TurnInFlight};
use domain::usage::Usage;
use futures::{FutureExt, StreamExt};
use std::time::Duration;

/// Pieces that are told at once; a model that never pauses must not keep its watchers waiting.
const TOLD_TOGETHER_MAX: usize = 64;

/// What an attempt has brought so far.
struct Attempt {
    block: DeltaBlock,
    text: String,
    reasoning: String,
    lane: Option<LaneChoice>,
}

impl Driver {
    pub(super) async fn model_turn(&mut self, turn: TurnInFlight) -> Result<(), Halt> {
        crash_point("turn.before_call");
        let request = self.turn_request(&turn);
        let mut stream = self.engine.models.turn(request);
        let mut attempt = Attempt {
            block: DeltaBlock {
                first_seq: self.run.next_seq,
                message_id: turn.message_id,
                started_at: turn.started_at,
                pieces: Vec::new(),
            },
            text: String::new(),
            reasoning: String::new(),
            lane: None,
        };
        loop {
            let item = tokio::select! {
                biased;
                item = stream.next() => item,
                interruption = self.interruption() => {
                    if matches!(interruption, Interruption::Mail(Mail::Look)) {
                        // What others can write during a turn ends the run, or meets the turn's commit.
                        self.still_ours().await?;
                        continue;
                    }
                    drop(stream);
                    return self.interrupted(interruption, Some(attempt.block)).await;
                }
            };
            let told = attempt.block.pieces.len();
            let mut end = self.take(&mut attempt, item);
            // What came together is told together: watchers are woken once for it.
            while end.is_none()
                && attempt.block.pieces.len() - told < TOLD_TOGETHER_MAX
                && let Some(item) = stream.next().now_or_never()
            {
                end = self.take(&mut attempt, item);
            }
            self.tell(&attempt.block, told);
            match end {
                None => {}
                Some(Ok(finish)) => {
                    drop(stream);
                    return self.answered(attempt, finish).await;
                }
                Some(Err(error)) => return self.attempt_failed(attempt, error).await,
            }
        }
    }

    /// Adds what the model said to the attempt. Returns the attempt's end if this is it.
    fn take(
        &self,
        attempt: &mut Attempt,
        item: Option<Result<TurnEvent, ModelError>>,
    ) -> Option<Result<TurnFinish, ModelError>> {
        match item {
            Some(Ok(TurnEvent::Lane(lane))) => attempt.lane = Some(lane),
            Some(Ok(TurnEvent::Text(text))) => {
                attempt.text.push_str(&text);
                self.add(&mut attempt.block, PieceKind::Text, text);
            }
            Some(Ok(TurnEvent::Reasoning(text))) => {
                attempt.reasoning.push_str(&text);
                self.add(&mut attempt.block, PieceKind::Reasoning, text);
            }
            Some(Ok(TurnEvent::Finished(finish))) => return Some(Ok(finish)),
            Some(Err(error)) => return Some(Err(error)),
            None => return Some(Err(truncated())),
        }
        if attempt.text.len() + attempt.reasoning.len() > TURN_BYTES_MAX
            || attempt.block.pieces.len() as u64 >= TURN_EVENTS_MAX
        {
            let message = "the model's answer is larger than a turn may be";
            return Some(Err(ModelError::new(FailureCode::OutputTooLarge, message)));
        }
        None
    }

    fn turn_request(&self, turn: &TurnInFlight) -> TurnRequest {
        let request = &self.run.request;
        let spent = self.run.usage.total_tokens();
        let left = request
            .budget
            .max_tokens
            .map(|max| max.saturating_sub(spent));
        let left = left.map(|left| u32::try_from(left).unwrap_or(u32::MAX));
        let max_output_tokens = match (left, self.agent.max_output_tokens) {
            (Some(left), Some(max)) => Some(left.min(max)),
            (one, None) | (None, one) => one,
        };
        TurnRequest {
            scope: self.scope.clone(),
            run_id: self.run.id,
            system_prompt: self.agent.system_prompt.as_str().into(),
            messages: self.history.context(),
            tools: self.specs.clone(),
            wishes: Wishes {
                models: request
                    .model
                    .clone()
                    .map_or_else(|| self.agent.models.clone(), |model| vec![model]),
                pinned: request.lane.clone(),
                max_price_micro_usd: request.budget.max_price_micro_usd,
                sticky: Some(self.run.sticky_key()),
                ..Wishes::of(&self.agent, &SERVER_KINDS)
            },
            failed_lanes: turn.failed_lanes.clone(),
            max_output_tokens,
            temperature: self.agent.temperature,
            account: Account {
                agent_type: self.agent.agent_type.clone(),
                daily: self.agent.daily,
            },
        }
    }

    fn add(&self, block: &mut DeltaBlock, kind: PieceKind, text: String) {
        if text.is_empty() {
            return;
        }
        let offset = self.engine.clock.now().since(block.started_at);
        let offset_us = u64::try_from(offset.as_micros()).unwrap_or(u64::MAX);
        block.pieces.push(Piece(kind, offset_us, text));
    }

    /// Tells watchers the pieces from number `first` on.
    fn tell(&self, block: &DeltaBlock, first: usize) {
        let new = first..block.pieces.len();
        if new.is_empty() {
            return;
        }
        self.seat
            .feed
            .tell(new.clone().filter_map(|index| block.event(index)));
        for index in new {
            crash_point(if index == 0 {
                "turn.first_token"
            } else {
                "turn.mid_stream"
            });
        }
    }

    async fn answered(&mut self, attempt: Attempt, finish: TurnFinish) -> Result<(), Halt> {
        crash_point("turn.after_stream");
        let Some(lane) = attempt.lane else {
            let message = "the model answered without saying where it runs";
            let error = ModelError::new(FailureCode::Internal, message);
            return self.attempt_failed(attempt, error).await;
        };
        let mut calls = Vec::new();
        if !finish.calls.is_empty() {
            let proposed = finish
                .calls
                .into_iter()
                .map(|call| Proposed {
                    client_id: None,
                    name: call.name,
                    arguments: call.arguments,
                })
                .collect();
            calls = self.plan(proposed).await?;
        }
        let has_calls = !calls.is_empty();
        let reasoning =
            (!attempt.reasoning.is_empty() || !finish.signatures.is_empty()).then_some(Reasoning {
                text: attempt.reasoning,
                signatures: finish.signatures,
            });
        let answer = TurnAnswer {
            text: attempt.text,
            reasoning,
            calls,
            deltas: Some(attempt.block),
            usage: finish.usage,
            lane,
            truncated: finish.truncated,
        };
        let final_turn = !has_calls;
        crash_point(if final_turn {
            "run.before_final_commit"
        } else {
            "turn.before_commit"
        });
        self.commit(Input::TurnCompleted(Box::new(answer))).await?;
        crash_point(if final_turn {
            "run.after_final_commit"
        } else {
            "turn.after_commit"
        });
        Ok(())
    }

    async fn attempt_failed(&mut self, attempt: Attempt, error: ModelError) -> Result<(), Halt> {
        tracing::warn!(
            run.id = %self.run.id, org.id = %self.scope.org(), lane = error.lane.as_deref(),
            code = ?error.failure.code, retry = error.retry, "a model turn failed"
        );
        let told_any = !attempt.block.pieces.is_empty();
        self.commit(Input::TurnFailed(FailedAttempt {
            failure: error.failure,
            // Before the first token the lanes have their own retries; failing there is final.
            retry: error.retry && told_any,
            deltas: Some(attempt.block),
            usage: error.usage,
            lane: error.lane,
        }))
        .await
    }

    /// Waits for a store that does not answer: to judge without what it knows could let something through.
    async fn plan(&mut self, proposed: Vec<Proposed>) -> Result<Vec<Planned>, Halt> {
        let mut pause = Duration::from_millis(20);
        loop {
            let planned = self
                .engine
                .plan(
                    &self.scope,
                    &self.run,
                    self.agent.clone(),
                    self.history.messages(),
                    proposed.clone(),
                )
                .await;
            match planned {
                Ok(planned) => return Ok(planned),
                Err(StoreError::Unavailable(_) | StoreError::Full(_)) => self.rest(pause).await?,
                Err(error) => return Err(Halt::Store(error)),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

fn truncated() -> ModelError {
    ModelError {
        failure: Failure::new(
            FailureCode::ModelUnavailable,
            "the model's answer broke off",
        ),
        retry: true,
        lane: None,
        usage: Usage::default(),
    }
}
