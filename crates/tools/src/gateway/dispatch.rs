//! Executes one call: checks once more that it is the call that was decided on, waits for its turn, and sees to it
//! that neither a slow nor a broken tool takes more than its share.

use super::catalog::Catalog;
use super::keep::Keeper;
use super::{content, plan};
use crate::executor::{Ended, Tool, Work};
use crate::limits;
use domain::crash::crash_point;
use domain::ports::tools::CallContext;
use domain::run::Call;
use domain::seeded::Seeded;
use domain::tool::{CallKey, Policy, ToolOutcome, arguments_digest};
use domain::{OrgScope, Timestamp};
use futures::FutureExt;
use serde_json::{Map, Value};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Kept back of the caller's time so that an executor can stop what it cut off and say what became of it.
const RESERVE_MAX: Duration = Duration::from_millis(500);

/// What an executor may take beyond its own limit to stop; on a busy machine even that takes a while.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn execute(
    catalog: &Catalog,
    keeper: Option<&Keeper>,
    scope: &OrgScope,
    context: &CallContext,
    call: &Call,
    now: Timestamp,
    limit: Duration,
) -> ToolOutcome {
    let begun = Instant::now();
    let admitted = admit(catalog, scope, context, call, now);
    let (tool, arguments) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => {
            // Not why: that may quote arguments, and the run's step says it.
            tracing::warn!(tool.name = %call.name, run.id = %context.run_id, "a call was refused at its dispatch");
            return content::before(&call.name, &why);
        }
    };
    let own = limit.min(tool.timeout);
    let Ok(Ok(_permit)) = timeout(own, tool.permits.acquire()).await else {
        let why = "too many calls of this tool are running; nothing was sent";
        return content::before(&call.name, why);
    };
    let left = limit.saturating_sub(begun.elapsed());
    let own = own
        .saturating_sub(begun.elapsed())
        .min(left.saturating_sub(RESERVE_MAX.min(left / 10)));
    let work = Work {
        scope,
        context,
        call,
        arguments,
        limit: own,
        result_bytes_max: match keeper {
            Some(_) => tool.result_bytes_max.max(limits::KEPT_BYTES_MAX),
            None => tool.result_bytes_max,
        },
    };
    crash_point("tool.before_send");
    let ended = carried(tool, work, left.min(own + GRACE)).await;
    crash_point("tool.after_effect");
    let kept = match keeper {
        Some(keeper) => keeper.keep(tool, scope, context, call, &ended).await,
        None => None,
    };
    content::outcome(tool, ended, kept.as_ref())
}

/// Runs the executor within the time; a panic in it ends the call, not the worker.
pub(super) async fn carried(tool: &Tool, work: Work<'_>, left: Duration) -> Ended {
    let (call, run, own) = (work.call, work.context.run_id, work.limit);
    let name = &call.name;
    let running = AssertUnwindSafe(tool.executor.execute(work)).catch_unwind();
    match timeout(left, running).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) => {
            tracing::error!(tool.name = %name, run.id = %run, "a tool's executor panicked");
            let evidence = format!(
                "`{name}` failed inside the server; whether it took effect is not known (call key {})",
                call.key
            );
            Ended::Unknown { evidence }
        }
        Err(_) => {
            let evidence = format!(
                "`{name}` had not answered within {:.1} s; it may have taken effect or may yet (call key {})",
                own.as_secs_f64(),
                call.key
            );
            Ended::Unknown { evidence }
        }
    }
}

/// The tool and arguments, if they are those that were decided on.
fn admit<'a>(
    catalog: &'a Catalog,
    scope: &OrgScope,
    context: &CallContext,
    call: &'a Call,
    now: Timestamp,
) -> Result<(&'a Tool, &'a Map<String, Value>), String> {
    let key = CallKey::new(scope.org(), context.run_id, call.step_index, &call.id);
    if key != call.key {
        return Err("the call is not of this run; nothing was sent".to_owned());
    }
    if let Some(warrant) = &call.warrant
        && !Seeded::WarrantUnchecked.is_on()
    {
        warrant
            .check(scope.org(), context.run_id, &context.caller, call, now)
            .map_err(|void| void.to_string())?;
    }
    let tool = plan::find(catalog, &context.agent, &call.name)?;
    if tool.spec.version != call.tool_version && !Seeded::ChangedToolSent.is_on() {
        return Err(
            "the tool has changed since this call was decided on; ask for it again".to_owned(),
        );
    }
    if arguments_digest(&call.arguments) != call.arguments_digest
        && !Seeded::ArgumentsUnchecked.is_on()
    {
        return Err(
            "the arguments are not those that were decided on; nothing was sent".to_owned(),
        );
    }
    let Value::Object(arguments) = &call.arguments else {
        return Err("the arguments are not an object".to_owned());
    };
    if let Err(failures) = tool.schema.check(&call.arguments) {
        let failure = failures
            .first()
            .map(|failure| format!("`{}` {}", failure.path, failure.message));
        let failure = failure.unwrap_or_default();
        return Err(format!(
            "the arguments do not fit the tool's schema: {failure}"
        ));
    }
    // Rules are not asked again: what they saw, the call's digest holds fast. A tool that was switched off since is, and
    // one that asks now is not called on the word of a laxer policy.
    match plan::policy(tool, &context.agent) {
        Policy::Auto => {}
        Policy::Ask | Policy::AlwaysAsk
            if call.warrant.is_some() || call.judgement.grant.is_some() => {}
        Policy::Ask | Policy::AlwaysAsk => {
            return Err("policy asks for approval, and nobody has given it; ask again".to_owned());
        }
        Policy::Deny if Seeded::DeniedToolSent.is_on() => {}
        Policy::Deny => return Err("policy denies this tool now".to_owned()),
    }
    Ok((tool, arguments))
}
