//! A model turn, as the engine asks for it. Which lane serves it, its retries before the first token and its time-outs
//! are the implementor's; what follows the first token is the engine's.

use crate::budget::Account;
use crate::context::Context;
use crate::failure::{Failure, FailureCode};
use crate::lane::{LaneChoice, LaneInfo, LaneReport, Selection, Wishes};
use crate::tool::ToolSpec;
use crate::usage::Usage;
use crate::{OrgScope, RunId};
use futures::stream::BoxStream;
use std::sync::Arc;

/// One turn: the history so far and what may be used.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    pub scope: OrgScope,
    pub run_id: RunId,
    pub system_prompt: Arc<str>,
    /// Oldest first; valid: each tool call has exactly one result.
    pub messages: Context,
    pub tools: Arc<[ToolSpec]>,
    pub wishes: Wishes,
    /// Lanes to pass over, because they failed this turn after its first token.
    pub failed_lanes: Vec<String>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f64>,
    /// Who pays, beside the org.
    pub account: Account,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// The lane that answers; once, before any text.
    Lane(LaneChoice),
    Text(String),
    Reasoning(String),
    /// Last. A stream that ends without it has failed.
    Finished(TurnFinish),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnFinish {
    pub calls: Vec<AskedCall>,
    /// Signatures that the provider wants back with its reasoning.
    pub signatures: Vec<String>,
    pub usage: Usage,
    /// The model stopped at its output limit.
    pub truncated: bool,
}

/// A call as the model wrote it; `arguments` is its JSON text, perhaps broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedCall {
    pub name: String,
    pub arguments: String,
}

/// A turn that came to nothing. `failure` is fit to be shown: no keys, no payloads.
#[derive(Debug, thiserror::Error)]
#[error("the model turn failed: {}", failure.message)]
pub struct ModelError {
    pub failure: Failure,
    /// Another attempt, perhaps in another lane, may succeed.
    pub retry: bool,
    pub lane: Option<String>,
    /// What the attempt used as far as known.
    pub usage: Usage,
}

impl ModelError {
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            retry: false,
            lane: None,
            usage: Usage::default(),
        }
    }
}

pub trait Models: Send + Sync {
    /// Makes one attempt. Dropping the stream closes the connection to the provider.
    fn turn(&self, request: TurnRequest) -> BoxStream<'static, Result<TurnEvent, ModelError>>;

    /// The lanes as they are now.
    fn lanes(&self) -> Vec<LaneInfo>;

    /// The lanes that may serve these wishes, tightened by what the org allows.
    fn select(&self, scope: &OrgScope, wishes: &Wishes) -> Selection;

    /// The lanes with what they did, counted for this org.
    fn reports(&self, scope: &OrgScope) -> Vec<LaneReport>;

    /// Millionths of a dollar that so many tokens cost in the dearest lane which may serve the turn.
    fn dearest(&self, _request: &TurnRequest, _input_tokens: u64, _output_tokens: u64) -> u64 {
        0
    }
}
