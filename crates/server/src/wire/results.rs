//! Kept results on the wire.

use domain::kept;
use serde::Serialize;
use utoipa::ToSchema;

/// A tool's result that was too long for the model, whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptResult {
    #[schema(example = "res_8d2f0c4b9a7e4f1d8c3b2a1908f7e6d5")]
    pub id: String,
    #[schema(format = "uuid")]
    pub run_id: String,
    #[schema(format = "uuid")]
    pub thread_id: Option<String>,
    #[schema(example = "files__read_file")]
    pub tool_name: String,
    /// JSON as text, as the tool gave it.
    pub content: String,
    #[schema(format = "date-time")]
    pub kept_at: String,
}

impl From<kept::KeptResult> for KeptResult {
    fn from(kept: kept::KeptResult) -> Self {
        Self {
            id: kept.id.to_string(),
            run_id: kept.run_id.to_string(),
            thread_id: kept.thread_id.map(|id| id.to_string()),
            tool_name: kept.tool_name,
            content: kept.content,
            kept_at: kept.kept_at.to_string(),
        }
    }
}
