//! The journal of a device that worked without the network, as it is reported: entries of text, chained by hashes of that
//! text. The text is hashed as it was sent, so no canonical form of JSON is needed.

use crate::body;
use crate::problem::Problem;
use data_encoding::HEXLOWER;
use domain::journal::{Entry, Reported};
use domain::limits::{JOURNAL_ENTRY_BYTES_MAX, JOURNAL_REPORT_MAX};
use domain::{Timestamp, step, usage};
use engine::Journaled;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

const NAME_CHARS_MAX: usize = 256;

#[derive(Debug, Deserialize, ToSchema)]
pub struct ReportSteps {
    /// In order, without gaps.
    #[schema(min_items = 1, max_items = 256)]
    pub entries: Vec<JournalEntry>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "seq": 1,
    "prev": "0000000000000000000000000000000000000000000000000000000000000000",
    "hash": "d290934a1e075298e0ef1b26fa11bc8681ec1cfbb4f0836d49bc3a8ac79092f5",
    "entry": "{\"kind\":\"model_turn\",\"name\":\"phi-4-mini\",\"started_at\":\"2026-01-31T12:00:00Z\",\"completed_at\":\"2026-01-31T12:00:02Z\"}"
}))]
pub struct JournalEntry {
    /// 1 for a session's first entry, then one more each.
    #[schema(minimum = 1)]
    pub seq: u64,
    /// The `hash` of the entry before; 64 zeros before the first.
    pub prev: String,
    /// SHA-256 of `prev`, a line feed and `entry`, as lower-case hex.
    pub hash: String,
    /// The step as JSON text, a `JournalStep`; hashed as it stands here.
    pub entry: String,
}

/// What an entry's text holds.
#[derive(Debug, Deserialize, ToSchema)]
pub struct JournalStep {
    pub kind: JournalKind,
    /// The model's or the device's own tool's name.
    #[schema(example = "phi-4-mini", max_length = 256)]
    pub name: String,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub output: Value,
    #[serde(default)]
    pub is_error: bool,
    /// By the device's clock.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    #[schema(value_type = String, format = "date-time")]
    pub completed_at: Timestamp,
    pub usage: Option<JournalUsage>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalKind {
    ModelTurn,
    ToolCall,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct JournalUsage {
    #[serde(default)]
    pub input_tokens: u64,
    #[serde(default)]
    pub output_tokens: u64,
    #[serde(default)]
    pub cached_tokens: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReportedSteps {
    #[schema(format = "uuid")]
    pub session_id: String,
    /// One for each entry, whether it was new or known.
    pub steps: Vec<ReportedStep>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReportedStep {
    pub seq: u64,
    pub hash: String,
    /// The step that records the entry.
    pub step_index: u32,
}

/// Where a session's journal has come to.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalHead {
    /// 0 before the first entry.
    pub seq: u64,
    /// What the next entry has as `prev`.
    pub hash: String,
}

impl ReportSteps {
    /// The entries, each found to be what its hash says and to follow the one before.
    pub fn read(self) -> Result<Vec<Entry>, Problem> {
        let count = self.entries.len();
        if count == 0 || count > JOURNAL_REPORT_MAX {
            let message = format!("must be 1 to {JOURNAL_REPORT_MAX} entries");
            return Err(Problem::field("entries", message));
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for (index, sent) in self.entries.into_iter().enumerate() {
            let at = |field: &str| format!("entries[{index}].{field}");
            let (seq, prev) = match entries.last() {
                Some(before) => (before.seq + 1, before.hash.as_str()),
                None => (sent.seq.max(1), sent.prev.as_str()),
            };
            if sent.seq != seq {
                return Err(Problem::field(at("seq"), format!("must be {seq}")));
            }
            if sent.prev != prev {
                let message = "must be the hash of the entry before";
                return Err(Problem::field(at("prev"), message));
            }
            if sent.entry.len() > JOURNAL_ENTRY_BYTES_MAX {
                let message = format!("must be at most {JOURNAL_ENTRY_BYTES_MAX} bytes");
                return Err(Problem::field(at("entry"), message));
            }
            if sent.hash != hash(&sent.prev, &sent.entry) {
                let message = "must be SHA-256 of prev, a line feed and entry, in lower-case hex";
                return Err(Problem::field(at("hash"), message));
            }
            let step: JournalStep = body::parse_within(&at("entry"), &sent.entry)?;
            entries.push(Entry {
                seq,
                prev: sent.prev,
                hash: sent.hash,
                bytes: sent.entry.len() as u64,
                step: step.reported(&at("entry"))?,
            });
        }
        Ok(entries)
    }
}

impl JournalStep {
    fn reported(self, path: &str) -> Result<Reported, Problem> {
        if self.name.is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            let message = format!("must be 1 to {NAME_CHARS_MAX} characters");
            return Err(Problem::field(format!("{path}.name"), message));
        }
        if self.completed_at < self.started_at {
            let message = "must not be before started_at";
            return Err(Problem::field(format!("{path}.completed_at"), message));
        }
        Ok(Reported {
            kind: match self.kind {
                JournalKind::ModelTurn => step::StepKind::ModelTurn,
                JournalKind::ToolCall => step::StepKind::ToolCall,
            },
            name: self.name,
            input: self.input,
            output: self.output,
            is_error: self.is_error,
            started_at: self.started_at,
            completed_at: self.completed_at,
            usage: self.usage.map(|usage| usage::Usage {
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
                cached_tokens: usage.cached_tokens,
                ..usage::Usage::default()
            }),
        })
    }
}

fn hash(prev: &str, entry: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(prev.as_bytes());
    hasher.update(b"\n");
    hasher.update(entry.as_bytes());
    HEXLOWER.encode(&hasher.finalize())
}

impl From<Journaled> for ReportedStep {
    fn from(step: Journaled) -> Self {
        Self {
            seq: step.seq,
            hash: step.hash,
            step_index: step.step_index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// `printf 'prev\nentry' | sha256sum`
    #[test]
    fn hash_is_sha_256_of_both_lines() {
        assert_eq!(
            hash("prev", "entry"),
            "e0c71931ae8afda0c62dbb8a3c2e07c3396ca4be868219045922163957f11629"
        );
    }
}
