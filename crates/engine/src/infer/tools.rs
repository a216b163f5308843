//! Which of a session's tools a turn offers to its model.

use super::{InferError, InferRequest};
use domain::tool::ToolSpec;
use std::sync::Arc;

/// All of them, or those that the request names; it can name none that the session does not have.
pub(super) fn offered(
    specs: &Arc<[ToolSpec]>,
    request: &InferRequest,
) -> Result<Arc<[ToolSpec]>, InferError> {
    let Some(narrowed) = &request.tools else {
        return Ok(specs.clone());
    };
    let unknown = narrowed
        .iter()
        .find(|name| !specs.iter().any(|spec| spec.name == **name));
    if let Some(unknown) = unknown.cloned() {
        let known = specs.iter().map(|spec| spec.name.clone()).collect();
        return Err(InferError::UnknownTool { unknown, known });
    }
    Ok(specs
        .iter()
        .filter(|spec| narrowed.contains(&spec.name))
        .cloned()
        .collect())
}
