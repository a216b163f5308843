//! From a request for a run to what the engine starts: the thread's agent, what it may use, and the input.

use crate::api::threads::known_agent;
use crate::app::App;
use crate::caller::{Caller, Works};
use crate::problem::{Code, Problem};
use crate::wire::runs::CreateRun;
use domain::agent::{Agent, Budget};
use domain::lane::{LaneInfo, LaneVerdict, SERVER_KINDS, Wishes};
use domain::ports::store::Idempotency;
use domain::run::{NewRun, RunKind, RunRequest};
use domain::{RunId, ThreadId};
use engine::StartRun;
use std::sync::Arc;

/// Whose the thread is comes first; nothing is written here.
pub async fn prepare(
    app: &App,
    caller: &Caller<Works>,
    thread: ThreadId,
    create: CreateRun,
    idempotency: Option<Idempotency>,
) -> Result<StartRun, Problem> {
    let agent_type = match app.thread_types.get(&caller.scope, thread) {
        Some(agent_type) => agent_type,
        None => {
            let found = app.store.get_thread(&caller.scope, thread).await?;
            let found = found.ok_or_else(|| Problem::new(Code::not_found))?;
            app.thread_types
                .put(&caller.scope, thread, &found.agent_type);
            found.agent_type.into()
        }
    };
    let errors = create.errors();
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let agent = known_agent(app, &agent_type)?;
    check_lane(app, caller, &agent, &create)?;
    let id = RunId::new(app.clock.uuid());
    let budget = create.budget.map(Budget::from).unwrap_or_default();
    let new = NewRun {
        org: caller.scope.org().clone(),
        id,
        kind: RunKind::Thread { thread_id: thread },
        agent_type: agent.agent_type.clone(),
        agent_version: agent.version.clone(),
        request: RunRequest {
            model: create.model,
            lane: create.lane,
            budget: agent.budget.tightened(&budget),
            on_disconnect: create.on_disconnect.unwrap_or_default().into(),
            gated: false,
            context: create.context.unwrap_or_default(),
            metadata: create.metadata.unwrap_or_default(),
        },
        lane: None,
        created_by: caller.principal(),
        input: create
            .input
            .into_messages(id, app.clock.now(), || app.clock.uuid()),
    };
    Ok(StartRun {
        new,
        // What the request says itself goes before what its agent declares.
        on_waiting: match create.on_busy {
            Some(_) => None,
            None => agent.on_message_while_waiting,
        },
        agent,
        on_busy: create.on_busy.unwrap_or_default().into(),
        idempotency,
    })
}

/// A request may narrow where its agent runs, never widen it.
fn check_lane(
    app: &App,
    caller: &Caller<Works>,
    agent: &Arc<Agent>,
    create: &CreateRun,
) -> Result<(), Problem> {
    if create.lane.is_none() && create.model.is_none() {
        return Ok(());
    }
    // Only the model may speak against a lane here: it is looked at below.
    let wishes = Wishes::of(agent, &SERVER_KINDS);
    let considered = app.models.select(&caller.scope, &wishes).considered;
    let open = [
        LaneVerdict::Eligible,
        LaneVerdict::NoModel,
        LaneVerdict::StandIn,
    ];
    let mut lanes = app.models.lanes();
    lanes.retain(|lane| {
        let said = considered.iter().find(|said| said.name == lane.name);
        said.is_some_and(|said| open.contains(&said.verdict))
    });
    if let Some(wanted) = &create.lane {
        let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        if !names.contains(&wanted.as_str()) {
            return Err(unknown(Code::unknown_lane, "lane", &names));
        }
        lanes.retain(|lane| lane.name == *wanted);
    }
    if let Some(wanted) = &create.model {
        // The stand-in would answer for any name, but under its own.
        let serves = |lane: &LaneInfo| {
            lane.models.contains(wanted) || !lane.is_stand_in && lane.serves(wanted)
        };
        if !lanes.iter().any(serves) {
            let mut models: Vec<&str> = lanes
                .iter()
                .flat_map(|lane| lane.models.iter().map(String::as_str))
                .collect();
            models.sort_unstable();
            models.dedup();
            return Err(unknown(Code::unknown_model, "model", &models));
        }
    }
    Ok(())
}

fn unknown(code: Code, path: &str, known: &[&str]) -> Problem {
    let title = code.title().trim_end_matches('.');
    let message = if known.is_empty() {
        format!("{title}; there is none.")
    } else {
        format!("{title}; there are: {}.", known.join(", "))
    };
    Problem::saying(code, message)
        .at(path)
        .detail("supported", known)
}
