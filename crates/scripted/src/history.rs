//! The history inside a request, the same on every wire, and whether a provider would accept it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{Request, Wire};

mod read;

pub(crate) use read::{read, tool_names};

/// One item of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Text of the system prompt.
    System(String),
    /// Text of the user.
    User(String),
    /// Text of the model.
    Assistant(String),
    /// A call that the model made.
    Call {
        /// Its id, where the wire has one and the request gives it.
        id: Option<String>,
        /// The tool.
        name: String,
        /// The arguments; a string if they are text that is not JSON.
        arguments: Value,
        /// Calls of one message of the model have the same number.
        message: usize,
    },
    /// The result of a call.
    Result {
        /// The id of the call.
        id: Option<String>,
        /// The tool, where the wire names it.
        name: Option<String>,
        /// The content as text.
        content: String,
    },
}

/// What a provider would not accept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// A call without a result right after it.
    #[error("the call {0} has no result before the next message")]
    Unanswered(String),
    /// A result that answers no open call: orphan, repeated, or misplaced.
    #[error("the result for {0} answers no open call")]
    Orphan(String),
    /// Two calls with one id where ids must differ.
    #[error("the call id {0} is used twice")]
    DuplicateId(String),
    /// A call or result without an id on a wire that requires one.
    #[error("a call or result of {0} has no id")]
    MissingId(String),
    /// Arguments that are not of the type that the wire requires.
    #[error("the arguments of {0} are not of the type that the wire requires")]
    ArgumentsType(String),
    /// A request that asks the model nothing.
    #[error("the request has no message")]
    Empty,
}

/// A history that a provider would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("request {index} carries a history that is not valid: {violations:?}")]
pub struct HistoryError {
    /// The request's place among all.
    pub index: u64,
    /// Everything found, in order.
    pub violations: Vec<Violation>,
}

/// Checks that each call of the model has exactly one result, right after it, and that no result
/// stands alone, by the rules of the request's own wire.
///
/// # Errors
/// With everything that a provider would refuse.
pub fn check_history(request: &Request) -> Result<(), HistoryError> {
    let mut check = Check {
        wire: request.wire.unwrap_or(Wire::OpenaiChat),
        chained: !request.body["previous_response_id"].is_null(),
        open: Vec::new(),
        seen: Vec::new(),
        violations: Vec::new(),
    };
    let history = request.history();
    if !history.iter().any(|item| !matches!(item, Item::System(_))) {
        check.violations.push(Violation::Empty);
    }
    for item in &history {
        check.item(item);
    }
    check.close();
    check.violations.extend(read::argument_types(request));
    if check.violations.is_empty() {
        Ok(())
    } else {
        Err(HistoryError {
            index: request.index,
            violations: check.violations,
        })
    }
}

/// Panics unless [`check_history`] passes.
///
/// # Panics
/// With everything that a provider would refuse, and the request's body.
pub fn assert_valid_history(request: &Request) {
    if let Err(error) = check_history(request) {
        let body = serde_json::to_string_pretty(&request.body).unwrap_or_default();
        panic!("{error}\n{body}");
    }
}

struct OpenCall {
    id: Option<String>,
    name: String,
    message: usize,
}

struct Check {
    wire: Wire,
    /// The history begins elsewhere, so a result may answer a call that is not here.
    chained: bool,
    open: Vec<OpenCall>,
    seen: Vec<String>,
    violations: Vec<Violation>,
}

impl Check {
    fn item(&mut self, item: &Item) {
        match item {
            Item::System(_) | Item::User(_) => self.close(),
            // In a Responses input the items of one answer are a flat list, text and calls in any
            // order.
            Item::Assistant(_) if self.wire == Wire::OpenaiResponses => {}
            Item::Assistant(_) => self.close(),
            Item::Call {
                id, name, message, ..
            } => self.call(id.as_deref(), name, *message),
            Item::Result { id, name, .. } => self.result(id.as_deref(), name.as_deref()),
        }
    }

    fn ids_required(&self) -> bool {
        matches!(
            self.wire,
            Wire::OpenaiChat | Wire::OpenaiResponses | Wire::Anthropic
        )
    }

    fn call(&mut self, id: Option<&str>, name: &str, message: usize) {
        if self.open.iter().any(|call| call.message != message) {
            self.close();
        }
        match id {
            Some(id) if !id.is_empty() => {
                let among_open = self.open.iter().any(|call| call.id.as_deref() == Some(id));
                // Anthropic wants ids to differ in the whole request, the others within one
                // message.
                let anywhere =
                    self.wire == Wire::Anthropic && self.seen.iter().any(|seen| seen == id);
                if among_open || anywhere {
                    self.violations.push(Violation::DuplicateId(id.to_owned()));
                }
                self.seen.push(id.to_owned());
            }
            _ if self.ids_required() => {
                self.violations.push(Violation::MissingId(name.to_owned()));
            }
            _ => {}
        }
        let id = id.filter(|id| !id.is_empty()).map(str::to_owned);
        self.open.push(OpenCall {
            id,
            name: name.to_owned(),
            message,
        });
    }

    fn result(&mut self, id: Option<&str>, name: Option<&str>) {
        let label = id.or(name).unwrap_or("an unnamed call").to_owned();
        let id = id.filter(|id| !id.is_empty());
        if id.is_none() && self.ids_required() {
            self.violations.push(Violation::MissingId(label.clone()));
        }
        let answered = self
            .open
            .iter()
            .position(|call| match (id, &call.id, name) {
                (Some(id), Some(call_id), _) => id == call_id,
                (_, _, Some(name)) => name == call.name,
                // Without id and name, results answer calls in order.
                (_, _, None) => !self.ids_required(),
            });
        match answered {
            Some(position) => {
                self.open.remove(position);
            }
            None if self.chained => {}
            None => self.violations.push(Violation::Orphan(label)),
        }
    }

    /// Whatever is open now stays without a result.
    fn close(&mut self) {
        for call in self.open.drain(..) {
            self.violations
                .push(Violation::Unanswered(call.id.unwrap_or(call.name)));
        }
    }
}
