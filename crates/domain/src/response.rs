//! Inference turns of client-side sessions as an immutable tree: each response knows the one that it continues.

use crate::gate::GateDecision;
use crate::message::Message;
use crate::usage::Usage;
use crate::{RunId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// `resp_` + 32 lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponseId(Uuid);

impl ResponseId {
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The id of what a repeatable request makes, so that the same request finds it again after a crash.
    pub fn repeatable(session: RunId, key: &str, body_digest: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(session.uuid().as_bytes());
        hasher.update(body_digest);
        hasher.update(key.as_bytes());
        Self::hashed(&hasher)
    }

    /// The id under which round `number` of this response is kept, where the model asked for tools that are run here. The
    /// last round is the response itself.
    pub fn round(self, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.0.as_bytes());
        hasher.update(&number.to_le_bytes());
        Self::hashed(&hasher)
    }

    fn hashed(hasher: &blake3::Hasher) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resp_{}", self.0.simple())
    }
}

impl FromStr for ResponseId {
    type Err = crate::ids::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = crate::ids::InvalidId { kind: "response" };
        let hex = text.strip_prefix("resp_").ok_or_else(|| invalid.clone())?;
        if hex.len() != 32
            || !hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(invalid);
        }
        Uuid::try_parse(hex).map(Self).map_err(|_| invalid)
    }
}

impl Serialize for ResponseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResponseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One inference turn: what it was given beyond its parent's context, and what the model said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub id: ResponseId,
    pub session: RunId,
    pub parent: Option<ResponseId>,
    /// 1 without a parent, else the parent's plus one.
    pub depth: u32,
    /// Of the whole chain up to here, for its bound.
    pub chain_bytes: u64,
    /// New items, in order: results of calls that the server ran, and the client's input.
    pub input: Vec<Message>,
    pub output: Message,
    pub model: String,
    pub usage: Usage,
    /// The model stopped at its output limit.
    pub truncated: bool,
    /// The calls of `output` are run here: their results come from the ledger, never from the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs_tools: bool,
    /// What the intent gate said of the input, if one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<GateDecision>>,
    pub created_at: Timestamp,
}
