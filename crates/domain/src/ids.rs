//! Identifiers as types of their own, so that a thread's id can never be passed where a run's is meant.
//! It does not generate them: new ids arrive from above (`ports::Clock`).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    pub kind: &'static str,
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Accepts the hyphenated form only: one object has one spelling of its id.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId { kind: $kind };
                if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(invalid);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| invalid)
            }
        }
    )*};
}

uuid_ids! {
    /// A run, or the client-side session that is the same run seen from the client.
    RunId = "run";
    ThreadId = "thread";
    MessageId = "message";
    ApprovalId = "approval";
    /// A remembered approval.
    GrantId = "grant";
    /// An API key's public handle; never the secret.
    KeyId = "key";
    /// One server process, from its start to its end.
    WorkerId = "worker";
}

/// An organisation: a short lower-case slug, part of every key in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgId(String);

impl OrgId {
    /// 1–63 characters of `a-z 0-9 - _`, beginning with a letter or digit: safe in a file name and a message subject.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = (1..=63).contains(&bytes.len())
            && bytes.first().is_some_and(|b| word(*b))
            && bytes.iter().all(|b| word(*b) || *b == b'-' || *b == b'_');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { kind: "org" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for OrgId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(&text)
    }
}

impl From<OrgId> for String {
    fn from(org: OrgId) -> Self {
        org.0
    }
}

/// The organisation on whose behalf a store is asked. Every port method that touches an org's data takes one first,
/// so that a query without an org cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrgScope {
    org: OrgId,
}

impl OrgScope {
    pub fn new(org: OrgId) -> Self {
        Self { org }
    }

    pub fn org(&self) -> &OrgId {
        &self.org
    }
}

/// A tool call's id. For calls of our own model turns it is minted here (`call_` + 32 hex), because providers repeat
/// and omit theirs; in a client-side session it is the client's word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(String);

impl CallId {
    pub fn minted(uuid: Uuid) -> Self {
        Self(format!("call_{}", uuid.simple()))
    }

    pub fn from_client(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
