//! Asks a tool's probe what became of a call whose answer was lost.

use super::catalog::Catalog;
use super::dispatch;
use crate::executor::{Ended, Work};
use domain::OrgScope;
use domain::ports::tools::CallContext;
use domain::run::Call;
use domain::tool::{Effect, Found, Probed};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Characters of an answer that are kept.
const ANSWER_CHARS_MAX: usize = 4_000;

pub(super) async fn ask(
    catalog: &Catalog,
    scope: &OrgScope,
    context: &CallContext,
    call: &Call,
    limit: Duration,
) -> Probed {
    let mut probed = Probed {
        tool: call.name.clone(),
        arguments: Value::Null,
        answer: String::new(),
        found: Found::Unclear,
    };
    let Some(probe) = catalog.get(&call.name).and_then(|tool| tool.probe.as_ref()) else {
        "the tool has no probe any more".clone_into(&mut probed.answer);
        return probed;
    };
    probed.tool.clone_from(&probe.tool);
    let asked = catalog
        .get(&probe.tool)
        .filter(|asked| asked.spec.effect == Effect::Idempotent);
    let Some(asked) = asked else {
        "there is no such idempotent tool".clone_into(&mut probed.answer);
        return probed;
    };
    let none = serde_json::Map::new();
    let lost = Work {
        scope,
        context,
        call,
        arguments: call.arguments.as_object().unwrap_or(&none),
        limit,
        result_bytes_max: asked.result_bytes_max,
    };
    let arguments = probe.arguments(|name| lost.value(name));
    probed.arguments = Value::Object(arguments.clone());
    if asked.schema.check(&probed.arguments).is_err() {
        "its arguments do not fit the probe's schema".clone_into(&mut probed.answer);
        return probed;
    }
    // The key stays the lost call's: it is what the probe looks for.
    let asking = Call {
        name: probe.tool.clone(),
        arguments: probed.arguments.clone(),
        ..call.clone()
    };
    let own = limit.min(asked.timeout);
    let Ok(Ok(_permit)) = timeout(own, asked.permits.acquire()).await else {
        "it was too busy to answer".clone_into(&mut probed.answer);
        return probed;
    };
    let work = Work {
        scope,
        context,
        call: &asking,
        arguments: &arguments,
        limit: own,
        result_bytes_max: asked.result_bytes_max,
    };
    let (answer, found) = match dispatch::carried(asked, work, limit).await {
        Ended::Answered {
            value,
            is_error: false,
        } => (value.to_string(), probe.read(&value)),
        Ended::Answered { value, .. } => (value.to_string(), Found::Unclear),
        Ended::Before { why } => (why, Found::Unclear),
        Ended::Unknown { evidence } => (evidence, Found::Unclear),
    };
    probed.answer = answer.chars().take(ANSWER_CHARS_MAX).collect();
    probed.found = found;
    probed
}
