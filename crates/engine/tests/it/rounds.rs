//! Responses whose tools are run here: rounds, pauses, limits, and what a crash leaves of them.

use crate::fakes::Say;
use crate::infer::{ask, response};
use crate::on_both_stores;
use crate::sessions::session;
use crate::world::{Process, World};
use domain::agent::Budget;
use domain::approval::{Choice, Decision};
use domain::message::Message;
use domain::ports::clock::Clock;
use domain::response::ResponseId;
use domain::run::{NewRun, Run, RunKind, RunRequest};
use domain::step::StepKind;
use domain::{ApprovalId, ThreadId};
use engine::{ClientCall, InferError, InferEvent, InferRequest, OnBusy, Started, Stop};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

on_both_stores!(
    tools_run_here_until_the_model_needs_none,
    a_gated_call_stops_the_response_and_goes_on_once_decided,
    results_of_calls_that_run_here_are_not_the_clients_to_tell,
    a_kill_between_model_and_tool_repeats_neither,
    a_kill_in_an_unsafe_tool_asks_a_person,
    the_same_request_again_is_told_the_same,
    rounds_end_with_the_budget,
    an_edited_call_is_known_by_what_was_asked,
);

const TTL: Duration = Duration::from_secs(24 * 3_600);

/// Asks for the tools, and is content once it has a result.
fn wants(world: &World, tools: &'static [&'static str]) {
    world.model.play(move |messages: &[Arc<Message>]| {
        let answered = messages.last().is_some_and(|it| it.tool_call_id.is_some());
        if answered {
            return vec![Say::Text("found")];
        }
        let calls = tools
            .iter()
            .map(|tool| Say::Call(tool, "{\"n\":1}".to_owned()));
        [Say::Text("let me see")].into_iter().chain(calls).collect()
    });
}

fn request(world: &World, id: Option<ResponseId>) -> InferRequest {
    InferRequest {
        id,
        runs_tools: true,
        whole: false,
        ..ask(world, "look", None)
    }
}

/// Goes on with a response that stopped.
fn resume(world: &World, stopped: ResponseId) -> InferRequest {
    InferRequest {
        input: Vec::new(),
        previous: Some(stopped),
        ..request(world, None)
    }
}

fn repeatable(run: &Run) -> ResponseId {
    ResponseId::repeatable(run.id, "key", &[7; 32])
}

async fn all(
    world: &World,
    process: &Process,
    run: &Run,
    request: InferRequest,
) -> (ResponseId, Vec<InferEvent>) {
    let begun = process.engine.infer(&world.scope, run.id, request).await;
    let begun = begun.expect("the turn begins");
    (begun.id, begun.events.collect().await)
}

/// The events in short, one word each.
fn said(events: &[InferEvent]) -> String {
    let words: Vec<String> = events
        .iter()
        .map(|event| match event {
            InferEvent::Restarted(_) => "restarted".to_owned(),
            InferEvent::Text(text) => format!("\"{text}\""),
            InferEvent::Reasoning(_) => "reasoning".to_owned(),
            InferEvent::Asked(_) => "asked".to_owned(),
            InferEvent::Called { call, .. } => format!("called:{}", call.name),
            InferEvent::Waiting { call, .. } => format!("waiting:{}", call.name),
            InferEvent::Round(_) => "round".to_owned(),
            InferEvent::Done(_) => "done".to_owned(),
            InferEvent::Stopped(stop) => format!("stopped:{stop:?}"),
            InferEvent::Failed(failure) => format!("failed:{:?}", failure.code),
        })
        .collect();
    words.join(" ")
}

async fn kinds(world: &World, run: &Run) -> Vec<StepKind> {
    let steps = world.store.run_steps(&world.scope, run.id).await;
    let steps = steps.expect("the store answers");
    steps.iter().map(|step| step.kind).collect()
}

fn waiting(events: &[InferEvent]) -> ApprovalId {
    let found = events.iter().find_map(|event| match event {
        InferEvent::Waiting { approval_id, .. } => Some(*approval_id),
        _ => None,
    });
    found.expect("a call waits")
}

async fn approve(
    world: &World,
    process: &Process,
    id: ApprovalId,
    arguments: Option<serde_json::Value>,
) {
    let decision = Decision {
        choice: Choice::Approve,
        seen: None,
        reason: None,
        arguments,
        remember: None,
        by: world.principal(),
    };
    let resolved = process.engine.resolve(&world.scope, id, decision).await;
    resolved.expect("it is open");
}

async fn tools_run_here_until_the_model_needs_none(world: World) {
    let process = world.process().await;
    wants(&world, &["read_one", "read_two"]);
    let run = session(&world, &process, TTL).await;
    let (id, events) = all(&world, &process, &run, request(&world, None)).await;
    assert_eq!(
        said(&events),
        "\"let me see\" asked called:read_one called:read_two round \"found\" done"
    );
    let Some(InferEvent::Done(last)) = events.last() else {
        panic!("done")
    };
    assert_eq!(last.id, id, "what was told first is what can be continued");
    use StepKind::{ModelTurn, ToolCall};
    assert_eq!(
        kinds(&world, &run).await,
        [ModelTurn, ToolCall, ToolCall, ModelTurn]
    );
    // The chain has both rounds, and is valid: the fake model checks every history.
    response(&world, &process, &run, ask(&world, "and now?", Some(last))).await;
    let turns = world.model.turns.lock().expect("it is in order").clone();
    assert_eq!(turns.last().expect("it is in order").len(), 6);
}

async fn a_gated_call_stops_the_response_and_goes_on_once_decided(world: World) {
    let process = world.process().await;
    wants(&world, &["read_one", "pay_ask"]);
    let run = session(&world, &process, TTL).await;
    let (first, events) = all(&world, &process, &run, request(&world, None)).await;
    assert_eq!(
        said(&events),
        "\"let me see\" asked called:read_one waiting:pay_ask stopped:Approval"
    );
    // Asked again it still waits, also by the id of the answer that said so.
    let (second, again) = all(&world, &process, &run, resume(&world, first)).await;
    assert_eq!(
        said(&again),
        "called:read_one waiting:pay_ask stopped:Approval"
    );
    assert_ne!(first, second);
    assert_eq!(waiting(&again), waiting(&events));
    process.kill();
    let process = world.process().await;
    approve(&world, &process, waiting(&events), None).await;
    let (_, events) = all(&world, &process, &run, resume(&world, first)).await;
    assert_eq!(
        said(&events),
        "called:read_one called:pay_ask \"found\" done"
    );
    let counts = world.tools.by_key();
    assert_eq!(counts.len(), 2);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_eq!(world.model.count(), 2, "no turn was made twice");
}

async fn results_of_calls_that_run_here_are_not_the_clients_to_tell(world: World) {
    let process = world.process().await;
    wants(&world, &["pay_ask"]);
    let run = session(&world, &process, TTL).await;
    let (id, events) = all(&world, &process, &run, request(&world, None)).await;
    let Some(InferEvent::Asked(asked)) =
        events.iter().find(|it| matches!(it, InferEvent::Asked(_)))
    else {
        panic!("asked")
    };
    let mut forged = resume(&world, id);
    forged.input = ask(&world, "paid", None).input;
    forged.input[0].role = domain::message::Role::Tool;
    forged.input[0].tool_call_id = Some(asked.output.tool_calls[0].id.clone());
    let refused = process.engine.infer(&world.scope, run.id, forged).await;
    assert!(matches!(
        refused.err(),
        Some(InferError::UnansweredCalls { .. })
    ));
    let empty = InferRequest {
        previous: None,
        ..resume(&world, id)
    };
    let refused = process.engine.infer(&world.scope, run.id, empty).await;
    assert!(matches!(refused.err(), Some(InferError::EmptyInput)));
}

/// Begins the response in the process and returns once a tool has had its effect.
async fn until_effect(world: &World, process: &Process, run: &Run, request: InferRequest) {
    let (engine, scope, id) = (process.engine.clone(), world.scope.clone(), run.id);
    drop(process.spawn(async move {
        let begun = engine.infer(&scope, id, request).await;
        let _: Vec<InferEvent> = begun.expect("the turn begins").events.collect().await;
    }));
    let effected = || async { !world.tools.effects().is_empty() };
    world.until("the effect", effected).await;
}

async fn a_kill_between_model_and_tool_repeats_neither(world: World) {
    let process = world.process().await;
    wants(&world, &["keyed_slow"]);
    let run = session(&world, &process, TTL).await;
    let id = repeatable(&run);
    until_effect(&world, &process, &run, request(&world, Some(id))).await;
    process.kill();
    let process = world.process().await;
    world.tools.open(2);
    let (told, events) = all(&world, &process, &run, request(&world, Some(id))).await;
    assert_eq!(told, id);
    assert_eq!(
        said(&events),
        "\"let me see\" asked called:keyed_slow round \"found\" done"
    );
    assert_eq!(world.model.count(), 2, "the turn before the kill counts");
    assert_eq!(
        world.tools.by_key().len(),
        1,
        "repeated, if at all, under its one key"
    );
}

async fn a_kill_in_an_unsafe_tool_asks_a_person(world: World) {
    let process = world.process().await;
    wants(&world, &["pay_slow"]);
    let run = session(&world, &process, TTL).await;
    let id = repeatable(&run);
    until_effect(&world, &process, &run, request(&world, Some(id))).await;
    process.kill();
    let process = world.process().await;
    world.tools.open(2);
    let (_, events) = all(&world, &process, &run, request(&world, Some(id))).await;
    assert_eq!(
        said(&events),
        "\"let me see\" asked waiting:pay_slow stopped:Approval"
    );
    assert_eq!(world.tools.effects().len(), 1, "never repeated on its own");
}

async fn the_same_request_again_is_told_the_same(world: World) {
    let process = world.process().await;
    wants(&world, &["read_one"]);
    let run = session(&world, &process, TTL).await;
    let id = repeatable(&run);
    let (_, first) = all(&world, &process, &run, request(&world, Some(id))).await;
    process.kill();
    let process = world.process().await;
    let (_, again) = all(&world, &process, &run, request(&world, Some(id))).await;
    assert_eq!(said(&again), said(&first));
    assert_eq!((world.model.count(), world.tools.effects().len()), (2, 1));
    // While it is made, the same request is not made beside it.
    world.model.play(|_| vec![Say::Gate, Say::Text("late")]);
    let id = ResponseId::repeatable(run.id, "other", &[7; 32]);
    let begun = process
        .engine
        .infer(&world.scope, run.id, request(&world, Some(id)));
    let begun = begun.await.expect("the turn begins");
    let beside = process
        .engine
        .infer(&world.scope, run.id, request(&world, Some(id)));
    assert!(matches!(beside.await.err(), Some(InferError::InProgress)));
    world.model.open(1);
    let events: Vec<InferEvent> = begun.events.collect().await;
    assert_eq!(said(&events), "\"late\" done");
}

async fn rounds_end_with_the_budget(world: World) {
    let process = world.process().await;
    world
        .model
        .play(|_| vec![Say::Call("read_on", "{}".to_owned())]);
    let new = NewRun {
        kind: RunKind::session("q".to_owned(), "p".to_owned(), world.clock.now().plus(TTL)),
        lane: Some(crate::fakes::fake_lane()),
        request: RunRequest {
            model: Some("fake-1".to_owned()),
            budget: Budget {
                max_steps: Some(3),
                ..Budget::default()
            },
            ..RunRequest::default()
        },
        input: Vec::new(),
        ..world.new_run(ThreadId::new(Uuid::nil()), "")
    };
    let Started::Run(run) = world.start(&process, new, OnBusy::Reject).await else {
        panic!("started")
    };
    let (id, events) = all(&world, &process, &run, request(&world, None)).await;
    let Some(InferEvent::Stopped(Stop::Budget(failure))) = events.last() else {
        panic!("{}", said(&events))
    };
    assert!(failure.message.contains("3 model turns"), "{failure:?}");
    assert_eq!((world.model.count(), world.tools.effects().len()), (3, 2));
    for request in [resume(&world, id), request(&world, None)] {
        let refused = process.engine.infer(&world.scope, run.id, request).await;
        assert!(matches!(refused.err(), Some(InferError::Exhausted(_))));
    }
}

async fn an_edited_call_is_known_by_what_was_asked(world: World) {
    let process = world.process().await;
    wants(&world, &["pay_ask"]);
    let run = session(&world, &process, TTL).await;
    let (id, events) = all(&world, &process, &run, request(&world, None)).await;
    let edited = serde_json::json!({"n": 2});
    approve(&world, &process, waiting(&events), Some(edited)).await;
    let (_, events) = all(&world, &process, &run, resume(&world, id)).await;
    assert_eq!(said(&events), "called:pay_ask \"found\" done");
    let effects = world.tools.effects();
    assert_eq!(
        (effects.len(), effects[0].arguments.as_str()),
        (1, "{\"n\":2}")
    );
    let Some(InferEvent::Called { call, .. }) = events.first() else {
        panic!("called")
    };
    let again = ClientCall {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    };
    let engine = &process.engine;
    let executed = engine.execute(&world.scope, run.id, again, Duration::from_secs(20));
    let executed = executed.await.expect("the session is open");
    assert!(
        matches!(
            executed,
            engine::Executed::Settled {
                is_error: false,
                ..
            }
        ),
        "{executed:?}"
    );
    assert_eq!(world.tools.effects().len(), 1);
}
