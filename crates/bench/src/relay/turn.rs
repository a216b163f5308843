//! One turn of the relay as a state that makes the next bytes of its stream.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::Relay;
use super::model::{Answer, Call, ModelError, Said};

/// What the relay's only tool does.
fn lookup() -> &'static str {
    r#"{\"answer\":42}"#
}

#[derive(Debug)]
enum Stage {
    Begin,
    Ask,
    Answer(Answer),
    Over,
}

/// A turn under way.
#[derive(Debug)]
pub struct Turn {
    relay: Arc<Relay>,
    thread: u64,
    run: u64,
    seq: u64,
    stage: Stage,
    /// The messages that the model is asked with.
    messages: String,
    /// Where in `messages` those of this turn begin, a comma before them included.
    new_from: usize,
    /// What the model has said in this answer, as the inside of a JSON string.
    text: String,
    call: Option<Call>,
    out: String,
}

impl Turn {
    /// `messages` ends with the user's, whose length is `user`.
    pub fn new(relay: Arc<Relay>, thread: u64, messages: String, user: usize) -> Self {
        let run = relay.next_id();
        let user_from = messages.len() - user;
        Self {
            relay,
            thread,
            run,
            seq: 0,
            stage: Stage::Begin,
            messages,
            new_from: user_from.saturating_sub(1),
            text: String::new(),
            call: None,
            out: String::new(),
        }
    }

    /// The next bytes of the stream; `None` at its end. A failure of the model is an event.
    pub async fn next(&mut self) -> Option<Result<Bytes, Infallible>> {
        match self.advance().await {
            Ok(()) => {}
            Err(error) => {
                self.stage = Stage::Over;
                let error = serde_json::Value::String(error.to_string());
                self.event("done", &format!(r#""status":"failed","error":{error}"#));
            }
        }
        if self.out.is_empty() {
            return None;
        }
        Some(Ok(Bytes::from(std::mem::take(&mut self.out))))
    }

    async fn advance(&mut self) -> Result<(), ModelError> {
        loop {
            match &mut self.stage {
                Stage::Begin => {
                    self.stage = Stage::Ask;
                    self.event("run_created", r#""status":"running""#);
                    return Ok(());
                }
                Stage::Ask => {
                    let answer = self.relay.model.ask(&self.messages).await?;
                    self.stage = Stage::Answer(answer);
                }
                Stage::Answer(answer) => {
                    let said = answer.next().await?;
                    self.pass_on(said);
                    if !self.out.is_empty() {
                        return Ok(());
                    }
                }
                Stage::Over => return Ok(()),
            }
        }
    }

    fn pass_on(&mut self, said: Said) {
        for token in &said.tokens {
            self.event("message_delta", &format!(r#""delta":{token}"#));
            self.text.push_str(&token[1..token.len() - 1]);
        }
        if let Some(part) = said.call {
            let call = self.call.get_or_insert_default();
            if part.id.is_some() {
                call.id = part.id;
            }
            call.arguments.push_str(&part.arguments);
        }
        if said.done {
            if let Stage::Answer(answer) = std::mem::replace(&mut self.stage, Stage::Over) {
                self.relay.model.keep(answer);
            }
            match self.call.take() {
                Some(call) => self.run_tool(&call),
                None => self.complete(),
            }
        }
    }

    fn run_tool(&mut self, call: &Call) {
        let id = call.id.as_deref().unwrap_or_default();
        let about = format!(r#""tool_call_id":"{id}","tool_name":"lookup""#);
        self.event("tool_call_requested", &about);
        self.event("tool_call_started", &about);
        let result = lookup();
        self.event(
            "tool_call_completed",
            &format!(r#"{about},"content":"{result}""#),
        );
        let arguments = serde_json::Value::String(call.arguments.clone());
        let messages = format!(
            r#",{{"role":"assistant","content":null,"tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"lookup","arguments":{arguments}}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":"{result}"}}"#
        );
        self.messages.push_str(&messages);
        self.stage = Stage::Ask;
    }

    fn complete(&mut self) {
        let text = std::mem::take(&mut self.text);
        let message = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
        self.event("message_completed", &format!(r#""message":{message}"#));
        self.event("done", r#""status":"completed""#);
        self.messages.push(',');
        self.messages.push_str(&message);
        self.relay
            .append(self.thread, &self.messages[self.new_from..]);
    }

    fn event(&mut self, name: &str, fields: &str) {
        self.seq += 1;
        let (seq, run) = (self.seq, self.run);
        // Writing to a string does not fail.
        let _ = write!(
            self.out,
            "id: {seq}\nevent: {name}\ndata: {{\"type\":\"{name}\",\"run_id\":\"{run}\",\"seq\":{seq},{fields}}}\n\n"
        );
    }
}
