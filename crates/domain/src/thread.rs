//! Conversations. Their messages are in `message`, their runs in `run`.

use crate::message::Message;
use crate::{CallId, MessageId, RunId, ThreadId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadStatus {
    Idle,
    Busy,
    AwaitingApproval,
}

/// A conversation with one type of agent (a row of `chat_threads`).
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    pub id: ThreadId,
    pub agent_type: String,
    pub title: Option<String>,
    pub metadata: Map<String, Value>,
    pub status: ThreadStatus,
    /// The run that holds the thread, if any; there is never more than one.
    pub active_run: Option<RunId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub message_count: u32,
    pub last_message_preview: Option<String>,
}

/// A change to a thread by its owner; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadPatch {
    /// `Some(None)` takes the title away.
    pub title: Option<Option<String>>,
    pub metadata: Option<Map<String, Value>>,
}

/// Up to where a fork takes the history of the thread that it leaves; what is named is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkPoint {
    Message(MessageId),
    Run(RunId),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForkRefused {
    #[error("the thread has no such message or run")]
    Missing,
    /// A history in which a call lacks its result must never reach a model.
    #[error("a call has no result there yet")]
    UnansweredCalls,
}

/// How many of a thread's messages, oldest first, a fork takes.
pub fn fork_length(messages: &[Message], point: ForkPoint) -> Result<usize, ForkRefused> {
    let last = match point {
        ForkPoint::End => messages.len().checked_sub(1),
        ForkPoint::Message(id) => {
            let found = messages.iter().rposition(|message| message.id == id);
            Some(found.ok_or(ForkRefused::Missing)?)
        }
        ForkPoint::Run(id) => {
            let found = messages.iter().rposition(|it| it.run_id == Some(id));
            Some(found.ok_or(ForkRefused::Missing)?)
        }
    };
    let length = last.map_or(0, |last| last + 1);
    let mut open: HashSet<&CallId> = HashSet::new();
    for message in &messages[..length] {
        open.extend(message.tool_calls.iter().map(|call| &call.id));
        if let Some(answered) = &message.tool_call_id {
            open.remove(answered);
        }
    }
    if open.is_empty() {
        Ok(length)
    } else {
        Err(ForkRefused::UnansweredCalls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Content, Role, ToolCall};
    use uuid::Uuid;

    fn message(number: u128, run: u128, role: Role) -> Message {
        Message {
            id: MessageId::new(Uuid::from_u128(number)),
            role,
            content: Content::Text(String::new()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: Some(RunId::new(Uuid::from_u128(run))),
            created_at: Timestamp::from_micros(0),
        }
    }

    /// Two runs: a question and its answer; a question, a call, its result, the answer.
    fn history() -> Vec<Message> {
        let call = CallId::minted(Uuid::from_u128(9));
        let mut asking = message(4, 2, Role::Assistant);
        asking.tool_calls = vec![ToolCall {
            id: call.clone(),
            name: "look".to_owned(),
            arguments: Value::Null,
        }];
        let mut result = message(5, 2, Role::Tool);
        result.tool_call_id = Some(call);
        vec![
            message(1, 1, Role::User),
            message(2, 1, Role::Assistant),
            message(3, 2, Role::User),
            asking,
            result,
            message(6, 2, Role::Assistant),
        ]
    }

    #[test]
    fn fork_takes_what_is_named_and_all_before_it() {
        let run = |number| ForkPoint::Run(RunId::new(Uuid::from_u128(number)));
        let at = |number| ForkPoint::Message(MessageId::new(Uuid::from_u128(number)));
        for (point, length) in [
            (run(1), Ok(2)),
            (run(2), Ok(6)),
            (run(3), Err(ForkRefused::Missing)),
            (at(1), Ok(1)),
            (at(3), Ok(3)),
            (at(4), Err(ForkRefused::UnansweredCalls)),
            (at(5), Ok(5)),
            (at(7), Err(ForkRefused::Missing)),
            (ForkPoint::End, Ok(6)),
        ] {
            assert_eq!(fork_length(&history(), point), length, "{point:?}");
        }
        assert_eq!(fork_length(&[], ForkPoint::End), Ok(0));
    }
}
