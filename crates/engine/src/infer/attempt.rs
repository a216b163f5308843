//! One attempt of an inference turn: what the model says goes to the client as it comes.

use super::heard::Heard;
use super::{InferEvent, Turn};
use crate::Engine;
use domain::OrgScope;
use domain::context::Context;
use domain::event::PieceKind;
use domain::failure::FailureCode;
use domain::limits::TURN_BYTES_MAX;
use domain::ports::model::{ModelError, TurnEvent, TurnFinish, TurnRequest};
use domain::run::RunKind;
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::mpsc;

impl Engine {
    /// Passes over `failed_lanes`. Usage of a failed attempt is in `heard`.
    pub(super) async fn attempt(
        &self,
        scope: &OrgScope,
        turn: &Turn,
        failed_lanes: &[String],
        heard: &mut Heard,
        client: &mpsc::Sender<InferEvent>,
    ) -> Result<TurnFinish, ModelError> {
        let mut stream = self.models.turn(turn_request(scope, turn, failed_lanes));
        loop {
            let item = tokio::select! {
                item = stream.next() => item,
                () = self.stopping.cancelled() => return Err(cut("the server is shutting down")),
            };
            match item {
                Some(Ok(TurnEvent::Lane(lane))) => heard.lane = Some(lane),
                Some(Ok(TurnEvent::Text(text))) => {
                    heard.hear(PieceKind::Text, &text, self.clock.now());
                    let _ = client.send(InferEvent::Text(text)).await;
                }
                Some(Ok(TurnEvent::Reasoning(text))) => {
                    heard.hear(PieceKind::Reasoning, &text, self.clock.now());
                    let _ = client.send(InferEvent::Reasoning(text)).await;
                }
                Some(Ok(TurnEvent::Finished(finish))) => return Ok(finish),
                Some(Err(error)) => {
                    heard.usage.add(&error.usage);
                    return Err(error);
                }
                None => return Err(cut("the model's answer broke off")),
            }
            if heard.text.len() + heard.reasoning.len() > TURN_BYTES_MAX {
                let message = "the model's answer is larger than a turn may be";
                return Err(ModelError::new(FailureCode::OutputTooLarge, message));
            }
        }
    }
}

fn turn_request(scope: &OrgScope, turn: &Turn, failed_lanes: &[String]) -> TurnRequest {
    let RunKind::Session { system_prompt, .. } = &turn.run.kind else {
        unreachable!("open_session answers with sessions only");
    };
    let mut messages = turn
        .parent
        .as_ref()
        .map_or_else(Context::default, |link| link.context());
    for message in &turn.request.input {
        messages.push(Arc::new(message.clone()));
    }
    TurnRequest {
        scope: scope.clone(),
        run_id: turn.run.id,
        system_prompt: system_prompt.as_str().into(),
        messages,
        tools: turn.specs.clone(),
        wishes: turn.wishes.clone(),
        failed_lanes: failed_lanes.to_vec(),
        max_output_tokens: turn.request.max_output_tokens,
        temperature: turn.request.temperature,
        account: turn.account.clone(),
    }
}

fn cut(message: &str) -> ModelError {
    ModelError::new(FailureCode::ModelUnavailable, message)
}
