//! Definitions of tools that other servers offer, as the operator trusts them: the first seen is kept, and another one
//! under the same name is withheld until a person accepts it. It does not know how a server is asked.

use crate::Timestamp;
use crate::seeded::Seeded;
use crate::tool::arguments_digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A tool as its server describes it: everything that a model or an approver relies on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolOffer {
    /// The name that the server has for it.
    pub name: String,
    pub description: String,
    pub input_schema: Map<String, Value>,
    /// What the server says of the tool's effect. Hints of somebody who is not trusted.
    #[serde(default)]
    pub annotations: Map<String, Value>,
}

impl ToolOffer {
    /// BLAKE3 (hex) of all of it.
    pub fn digest(&self) -> String {
        let said = match Seeded::PinHalfHashed.is_on() {
            true => "",
            false => self.description.as_str(),
        };
        arguments_digest(&json!({
            "name": self.name,
            "description": said,
            "input_schema": self.input_schema,
            "annotations": self.annotations,
        }))
    }
}

/// What is trusted of one tool of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolPin {
    pub server: String,
    pub trusted: ToolOffer,
    pub digest: String,
    pub pinned_at: Timestamp,
    /// Another definition that the server offers now; until it is accepted the tool is not used.
    pub offered: Option<OtherOffer>,
}

/// A definition that is not the trusted one.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherOffer {
    pub offer: ToolOffer,
    pub digest: String,
    pub seen_at: Timestamp,
}
