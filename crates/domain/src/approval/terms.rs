//! What a decision takes: by whom, by how many, and in what time. Set for the server, a tool and an agent; the strictest
//! of each counts.

use crate::Timestamp;
use crate::limits::{APPROVAL_EXPIRY, APPROVERS_MAX};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings of how approvals are decided; an absent one asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskOptions {
    /// Whoever started the run may not approve its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_person: Option<bool>,
    /// People who must approve before the call runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals_needed: Option<u32>,
    /// Seconds until it counts as denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// What one approval takes, fixed when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    pub other_person: bool,
    pub approvals_needed: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            other_person: false,
            approvals_needed: 1,
        }
    }
}

impl AskOptions {
    /// The stricter of both in each.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        Self {
            other_person: self.other_person.max(other.other_person),
            approvals_needed: self.approvals_needed.max(other.approvals_needed),
            expires_in_s: match (self.expires_in_s, other.expires_in_s) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, None) | (None, one) => one,
            },
        }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            other_person: self.other_person.unwrap_or(false),
            approvals_needed: self.approvals_needed.unwrap_or(1).max(1),
        }
    }

    /// When an approval asked for now counts as denied.
    pub fn expires_at(&self, now: Timestamp) -> Timestamp {
        now.plus(
            self.expires_in_s
                .map_or(APPROVAL_EXPIRY, Duration::from_secs),
        )
    }

    /// What is wrong with the settings, for whoever wrote them.
    pub fn flaw(&self) -> Option<&'static str> {
        if self
            .approvals_needed
            .is_some_and(|needed| !(1..=APPROVERS_MAX).contains(&needed))
        {
            return Some("approvals_needed must be between 1 and 16");
        }
        let longest = 365 * 24 * 3600;
        if self
            .expires_in_s
            .is_some_and(|seconds| !(1..=longest).contains(&seconds))
        {
            return Some("expires_in_s must be between 1 and 31536000, which is a year");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictest_of_each_setting_counts() {
        let server = AskOptions {
            other_person: Some(false),
            approvals_needed: Some(2),
            expires_in_s: None,
        };
        let tool = AskOptions {
            other_person: Some(true),
            approvals_needed: None,
            expires_in_s: Some(60),
        };
        let both = AskOptions {
            other_person: Some(true),
            approvals_needed: Some(2),
            expires_in_s: Some(60),
        };
        assert_eq!(server.strictest(&tool), both);
        assert_eq!(tool.strictest(&server), both);
        assert_eq!(AskOptions::default().terms(), Terms::default());
    }
}
