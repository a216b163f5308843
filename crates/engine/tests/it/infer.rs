//! Inference turns and their chain: context, forks, and ids that are not one's own.

use crate::fakes::{Say, check_history};
use crate::on_both_stores;
use crate::sessions::session;
use crate::world::{Process, World};
use domain::failure::FailureCode;
use domain::message::{Content, Message, Role};
use domain::ports::clock::Clock;
use domain::response::{Response, ResponseId};
use domain::run::{Run, RunStatus};
use domain::step::StepKind;
use domain::{CallId, MessageId, OrgId, OrgScope};
use engine::{InferError, InferEvent, InferRequest};
use futures::StreamExt;
use std::time::Duration;
use uuid::Uuid;

on_both_stores!(
    a_turn_continues_from_its_parent_also_after_a_restart,
    a_long_chain_is_given_whole_wherever_it_goes_on,
    a_thousand_forks_stay_apart,
    writers_in_two_processes_all_land,
    unknown_foreign_and_expired_responses_are_the_same_nothing,
    calls_go_to_the_client_and_their_results_come_back,
    a_failed_turn_is_a_step_and_leaves_no_response,
    a_turn_of_another_model_is_refused,
);

const TTL: Duration = Duration::from_secs(90 * 24 * 3600);

pub fn ask(world: &World, text: &str, previous: Option<&Response>) -> InferRequest {
    InferRequest {
        id: None,
        runs_tools: false,
        whole: false,
        model: None,
        input: vec![message(world, text)],
        previous: previous.map(|response| response.id),
        tools: None,
        max_output_tokens: None,
        temperature: None,
    }
}

fn message(world: &World, text: &str) -> Message {
    Message {
        id: MessageId::new(world.clock.uuid()),
        role: Role::User,
        content: Content::Text(text.to_owned()),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at: world.clock.now(),
    }
}

async fn turn(
    world: &World,
    process: &Process,
    run: &Run,
    request: InferRequest,
) -> Result<InferEvent, InferError> {
    let begun = process.engine.infer(&world.scope, run.id, request).await?;
    let events: Vec<InferEvent> = begun.events.collect().await;
    Ok(events.into_iter().last().expect("a turn has a last event"))
}

pub async fn response(
    world: &World,
    process: &Process,
    run: &Run,
    request: InferRequest,
) -> Response {
    match turn(world, process, run, request)
        .await
        .expect("the turn begins")
    {
        InferEvent::Done(response) => *response,
        other => panic!("done, not {other:?}"),
    }
}

fn echo(world: &World) {
    // Each answer tells how much context there was.
    world.model.play(|messages| match messages.len() {
        1 => vec![Say::Text("one")],
        3 => vec![Say::Text("three")],
        5 => vec![Say::Text("five")],
        _ => vec![Say::Text("more")],
    });
}

async fn a_turn_continues_from_its_parent_also_after_a_restart(world: World) {
    let process = world.process().await;
    echo(&world);
    let run = session(&world, &process, TTL).await;
    let first = response(&world, &process, &run, ask(&world, "a", None)).await;
    let second = response(&world, &process, &run, ask(&world, "b", Some(&first))).await;
    process.kill();
    let process = world.process().await;
    let third = response(&world, &process, &run, ask(&world, "c", Some(&second))).await;
    let texts: Vec<String> = [&first, &second, &third]
        .iter()
        .map(|r| r.output.content.text())
        .collect();
    assert_eq!(texts, ["one", "three", "five"]);
    assert_eq!((third.depth, third.parent), (3, Some(second.id)));
    let turns = world
        .model
        .turns
        .lock()
        .expect("no panic under this lock")
        .clone();
    let context: Vec<String> = turns[2].iter().map(|m| m.content.text()).collect();
    assert_eq!(context, ["a", "one", "b", "three", "c"]);
    let steps = world
        .store
        .run_steps(&world.scope, run.id)
        .await
        .expect("the store answers");
    assert!(steps.iter().all(|step| step.kind == StepKind::ModelTurn));
    assert_eq!(steps.len(), 3);
}

/// What the model was last given, in short.
fn last_context(world: &World) -> Vec<String> {
    let turns = world.model.turns.lock();
    let turns = turns.expect("no panic under this lock");
    let last = turns.last().expect("a turn");
    last.iter().map(|message| message.content.text()).collect()
}

async fn a_long_chain_is_given_whole_wherever_it_goes_on(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("so")]);
    let run = session(&world, &process, TTL).await;
    let mut chain: Vec<Response> = Vec::new();
    for n in 1..=100 {
        let asked = ask(&world, &format!("ask {n}"), chain.last());
        chain.push(response(&world, &process, &run, asked).await);
    }
    let expected = |depth: usize, fork: &str| {
        let mut texts: Vec<String> = (1..=depth)
            .flat_map(|n| [format!("ask {n}"), "so".to_owned()])
            .collect();
        texts.push(fork.to_owned());
        texts
    };
    assert_eq!(last_context(&world), expected(99, "ask 100"));
    // Again from what the store knows.
    process.kill();
    let process = world.process().await;
    for depth in [1, 31, 32, 33, 63, 64, 65, 96, 97, 100] {
        let parent = &chain[depth - 1];
        let fork = format!("fork at {depth}");
        response(&world, &process, &run, ask(&world, &fork, Some(parent))).await;
        assert_eq!(last_context(&world), expected(depth, &fork));
    }
}

async fn a_thousand_forks_stay_apart(world: World) {
    let process = world.process().await;
    echo(&world);
    let run = session(&world, &process, TTL).await;
    let root = response(&world, &process, &run, ask(&world, "root", None)).await;
    let forks = futures::stream::iter(0..1000).map(|n| {
        let (world, process, run, root) = (&world, &process, &run, &root);
        async move {
            response(
                world,
                process,
                run,
                ask(world, &format!("fork {n}"), Some(root)),
            )
            .await
        }
    });
    let forks: Vec<Response> = forks.buffer_unordered(64).collect().await;
    for fork in &forks {
        assert_eq!((fork.depth, fork.parent), (2, Some(root.id)));
        let leaf = response(&world, &process, &run, ask(&world, "leaf", Some(fork)));
        if fork.id.uuid().as_bytes()[15] % 50 == 0 {
            leaf.await;
            let turns = world
                .model
                .turns
                .lock()
                .expect("no panic under this lock")
                .clone();
            let context: Vec<String> = turns
                .last()
                .expect("a turn")
                .iter()
                .map(|m| m.content.text())
                .collect();
            assert_eq!(
                context[2],
                fork.input[0].content.text(),
                "its own branch only"
            );
        }
    }
}

/// Within a process writers queue; between two of them they race, and who loses comes again.
async fn writers_in_two_processes_all_land(world: World) {
    let (one, two) = (world.process().await, world.process().await);
    echo(&world);
    let run = session(&world, &one, TTL).await;
    let turns = futures::stream::iter(0..200).map(|n| {
        let process = if n % 2 == 0 { &one } else { &two };
        response(
            &world,
            process,
            &run,
            ask(&world, &format!("turn {n}"), None),
        )
    });
    let turns: Vec<Response> = turns.buffer_unordered(32).collect().await;
    let steps = world.store.run_steps(&world.scope, run.id).await;
    assert_eq!(steps.expect("the store answers").len(), turns.len());
}

async fn unknown_foreign_and_expired_responses_are_the_same_nothing(world: World) {
    let process = world.process().await;
    echo(&world);
    let (mine, other) = (
        session(&world, &process, TTL).await,
        session(&world, &process, TTL).await,
    );
    let foreign = response(&world, &process, &other, ask(&world, "a", None)).await;
    let own = response(&world, &process, &mine, ask(&world, "a", None)).await;
    let mut unknown = own.clone();
    unknown.id = ResponseId::new(Uuid::from_u128(5));
    let before = world.model.count();
    for previous in [&unknown, &foreign] {
        let refused = turn(&world, &process, &mine, ask(&world, "b", Some(previous))).await;
        assert!(matches!(refused, Err(InferError::PreviousNotFound)));
    }
    let stranger = OrgScope::new(OrgId::new("globex").expect("a slug"));
    let refused = process
        .engine
        .infer(&stranger, mine.id, ask(&world, "b", Some(&own)))
        .await;
    assert!(matches!(
        refused,
        Err(InferError::Engine(engine::EngineError::NotFound))
    ));
    world.clock.advance(Duration::from_secs(31 * 24 * 3600));
    let refused = turn(&world, &process, &mine, ask(&world, "b", Some(&own))).await;
    assert!(matches!(refused, Err(InferError::PreviousNotFound)));
    assert_eq!(
        world.model.count(),
        before,
        "never an empty context instead"
    );
}

async fn calls_go_to_the_client_and_their_results_come_back(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call("read", "{\"n\":1}".to_owned())],
    });
    let run = session(&world, &process, TTL).await;
    let asked = response(&world, &process, &run, ask(&world, "a", None)).await;
    let call = asked.output.tool_calls[0].clone();
    assert!(
        world.tools.effects().is_empty(),
        "the client decides whether to execute"
    );
    let unanswered = turn(&world, &process, &run, ask(&world, "b", Some(&asked))).await;
    assert!(
        matches!(unanswered, Err(InferError::UnansweredCalls { missing }) if missing == [call.id.clone()])
    );
    let mut result = message(&world, "{}");
    (result.role, result.tool_call_id) = (Role::Tool, Some(call.id.clone()));
    let mut request = ask(&world, "", Some(&asked));
    request.input = vec![result.clone()];
    let done = response(&world, &process, &run, request).await;
    assert_eq!(done.output.content.text(), "done");
    let mut orphan = ask(&world, "", Some(&done));
    result.tool_call_id = Some(CallId::from_client("nobody".to_owned()));
    orphan.input = vec![result];
    let refused = turn(&world, &process, &run, orphan).await;
    assert!(matches!(refused, Err(InferError::UnansweredCalls { .. })));
    for messages in world
        .model
        .turns
        .lock()
        .expect("no panic under this lock")
        .iter()
    {
        check_history(messages);
    }
}

async fn a_failed_turn_is_a_step_and_leaves_no_response(world: World) {
    let process = world.process().await;
    world
        .model
        .play(|_| vec![Say::Text("half"), Say::Fail { retry: true }]);
    let run = session(&world, &process, TTL).await;
    let failed = turn(&world, &process, &run, ask(&world, "a", None))
        .await
        .expect("it begins");
    assert!(
        matches!(failed, InferEvent::Failed(failure) if failure.code == FailureCode::ModelUnavailable)
    );
    let steps = world
        .store
        .run_steps(&world.scope, run.id)
        .await
        .expect("the store answers");
    assert!(steps[0].is_error);
    assert_eq!(
        world.stored(run.id).await.status(),
        RunStatus::Running,
        "the session goes on"
    );
}

async fn a_turn_of_another_model_is_refused(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let mut request = ask(&world, "a", None);
    request.model = Some("fake-2".to_owned());
    let refused = turn(&world, &process, &run, request).await;
    assert!(
        matches!(refused, Err(InferError::ModelMismatch { session, asked }) if session == "fake-1" && asked == "fake-2")
    );
}
