//! A model server for tests and the benchmark: it speaks the wires of real model providers byte for
//! byte, as told by a script, faults included; and a server of tools beside it, [`McpServer`]. It knows
//! nothing of the product that calls it.
//!
//! A [`Reply`] says what the model answers, whatever the wire; a [`Script`] says which reply
//! answers which request; a [`Server`] plays the script on a socket and keeps what it was asked.
//!
//! In a test:
//!
//! ```no_run
//! # async fn test() {
//! use scripted::{Script, Server, assert_valid_history};
//!
//! let server = Server::with(Script::tool_loop("get_model", r#"{"id":"m1"}"#, "it is m1")).await;
//! // … have the product call `format!("{}/v1", server.url())` …
//! server.wait_calls(2).await.iter().for_each(assert_valid_history);
//! # }
//! ```
//!
//! As a program: `scripted-model --listen 127.0.0.1:9100 --script script.json`, where the file is a
//! [`Script`] in JSON; what is absent has its default:
//!
//! ```json
//! {
//!   "rules": [
//!     {"when": {"tool_result": true}, "reply": {"parts": [{"text": ["it ", "is so"]}]}},
//!     {"when": {"last_user": "busy"}, "times": 2,
//!      "reply": {"error": {"kind": "rate_limit", "retry_after": "1"}}}
//!   ],
//!   "replies": [
//!     {"parts": [{"text": ["half an ", "answer"]}],
//!      "faults": {"cut": {"at": {"chunk": 1}, "how": "rst"}}}
//!   ],
//!   "otherwise": {
//!     "parts": [{"reasoning": "hm"}, {"tool_call": {"name": "look", "arguments": {"a": 1}}}],
//!     "pace": {"first_byte_ms": 5, "between_ms": 20}
//!   }
//! }
//! ```
//!
//! Its own paths, for a driver in another process: `GET` and `DELETE /__requests`, `GET /__count`,
//! `POST /__script` (a script), `POST /__gates/NAME` (opens a gate).

mod fault;
mod history;
mod mcp;
mod plan;
mod reply;
mod request;
mod script;
mod server;
mod wire;

pub use fault::{AcceptFault, CallIds, Cut, CutAt, CutHow, Ending, Faults, Stall, StreamError};
pub use history::{HistoryError, Item, Violation, assert_valid_history, check_history};
pub use mcp::{AuthFault, AuthServer, Does, Era, McpServer, McpTool};
pub use plan::SENT_AT_MARKER;
pub use reply::{
    Arguments, Echo, ErrorKind, ErrorReply, Finish, Flood, Pace, Part, RawReply, Reply,
    ReplyBuilder, Tokens, ToolCall, Usage, reply,
};
pub use request::{Outcome, Request};
pub use script::{Rule, Script, Times, When};
pub use server::{Server, ServerBuilder};
pub use wire::Wire;
