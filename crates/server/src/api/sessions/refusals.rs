//! What a session's model reads in place of a result. Written for a model: it may see nothing else.

use domain::ApprovalId;
use serde_json::json;

pub fn waiting(tool: &str, call: &str, approval: ApprovalId) -> String {
    json!({
        "tool": tool,
        "status": "awaiting_approval",
        "approval_id": approval,
        "message": format!(
            "The call of {tool} has not run: a person must approve it first. Ask again with tool_call_id {call} and the \
             same arguments to get its result; do not ask under another id."
        ),
    })
    .to_string()
}

pub fn unfinished(tool: &str, call: &str) -> String {
    json!({
        "tool": tool,
        "status": "running",
        "message": format!(
            "The call of {tool} is still running. Ask again with tool_call_id {call} and the same arguments to get its \
             result; do not ask under another id."
        ),
    })
    .to_string()
}

pub fn id_taken(tool: &str, call: &str) -> String {
    json!({
        "tool": tool,
        "error": format!(
            "The tool_call_id {call} belongs to a call with other arguments that is not over. Use a new id for a new call."
        ),
    })
    .to_string()
}
