//! The journal of a device that worked without the network: chained, compared, recorded once.

use crate::on_both_stores;
use crate::sessions::session;
use crate::world::{Process, World};
use domain::journal::{Entry, GENESIS, Reported};
use domain::limits::JOURNAL_ENTRIES_MAX;
use domain::ports::clock::Clock;
use domain::run::Run;
use domain::step::{Step, StepKind};
use engine::{EngineError, JournalError, Journaled};
use serde_json::json;
use std::time::Duration;

on_both_stores!(
    entries_are_recorded_once_however_often_they_are_sent,
    gaps_and_forks_are_named_and_record_nothing,
    reports_at_once_and_across_a_kill_are_recorded_once,
    a_tool_of_the_servers_is_not_the_devices_to_run,
    a_journal_is_bounded_and_ends_with_its_session,
);

const TTL: Duration = Duration::from_secs(3_600);

/// Entries `from..=to` of a journal whose hashes begin with `name`.
fn entries(world: &World, name: &str, from: u64, to: u64) -> Vec<Entry> {
    let hash = |seq: u64| match seq {
        0 => GENESIS.to_owned(),
        seq => format!("{name}-{seq}"),
    };
    let now = world.clock.now();
    let entry = |seq: u64| Entry {
        seq,
        prev: hash(seq - 1),
        hash: hash(seq),
        bytes: 10,
        step: Reported {
            kind: StepKind::ModelTurn,
            name: "pocket".to_owned(),
            input: json!({"said": seq}),
            output: json!({"heard": seq}),
            is_error: false,
            started_at: now,
            completed_at: now,
            usage: None,
        },
    };
    (from..=to).map(entry).collect()
}

async fn report(
    world: &World,
    process: &Process,
    run: &Run,
    entries: &[Entry],
) -> Result<Vec<Journaled>, JournalError> {
    let engine = &process.engine;
    engine.report_steps(&world.scope, run.id, entries).await
}

async fn steps(world: &World, run: &Run) -> Vec<Step> {
    let steps = world.store.run_steps(&world.scope, run.id).await;
    steps.expect("the store answers")
}

async fn entries_are_recorded_once_however_often_they_are_sent(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let all = entries(&world, "a", 1, 5);
    let first = report(&world, &process, &run, &all[..3])
        .await
        .expect("it is in order");
    let indexes: Vec<u32> = first.iter().map(|step| step.step_index).collect();
    assert_eq!(indexes, [0, 1, 2]);
    let again = report(&world, &process, &run, &all[..3])
        .await
        .expect("it is in order");
    assert_eq!(again, first);
    // Known ones and new ones together, then a part from the middle.
    let whole = report(&world, &process, &run, &all[1..])
        .await
        .expect("it is in order");
    assert_eq!(whole[..2], first[1..]);
    assert_eq!((whole[3].seq, whole[3].step_index), (5, 4));
    let middle = report(&world, &process, &run, &all[2..4])
        .await
        .expect("it is in order");
    assert_eq!(middle, whole[1..3]);
    let stored = steps(&world, &run).await;
    assert_eq!(stored.len(), 5);
    for (step, entry) in stored.iter().zip(&all) {
        let mark = step.reported.as_ref().expect("the client's word");
        assert_eq!((mark.seq, &mark.hash), (entry.seq, &entry.hash));
        assert_eq!(
            (&step.input, &step.output),
            (&entry.step.input, &entry.step.output)
        );
    }
    let stored = world.stored(run.id).await;
    assert_eq!((stored.journal().seq, stored.journal().bytes), (5, 50));
    assert_eq!(stored.usage, run.usage, "a report costs nothing here");
}

async fn gaps_and_forks_are_named_and_record_nothing(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let all = entries(&world, "a", 1, 3);
    report(&world, &process, &run, &all)
        .await
        .expect("it is in order");
    let before = world.stored(run.id).await;
    let gap = report(&world, &process, &run, &entries(&world, "a", 5, 6)).await;
    assert!(
        matches!(&gap, Err(JournalError::Gap { expected: 4, hash }) if hash == "a-3"),
        "{gap:?}"
    );
    let other = entries(&world, "b", 1, 6);
    for (part, at) in [
        (&other[..], 1),
        (&other[1..3], 2),
        (&other[2..], 3),
        (&other[3..], 4),
    ] {
        let fork = report(&world, &process, &run, part).await;
        assert!(
            matches!(fork, Err(JournalError::Fork { seq }) if seq == at),
            "{fork:?}, not at {at}"
        );
    }
    assert_eq!(world.stored(run.id).await, before);
    assert_eq!(steps(&world, &run).await.len(), 3);
}

async fn reports_at_once_and_across_a_kill_are_recorded_once(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let all = entries(&world, "a", 1, 40);
    let same = (0..8).map(|_| report(&world, &process, &run, &all[..20]));
    let answers = futures::future::join_all(same).await;
    let first = answers[0].as_ref().expect("they follow each other");
    for answer in &answers {
        assert_eq!(answer.as_ref().expect("the same"), first);
    }
    let (engine, scope, id, rest) = (
        process.engine.clone(),
        world.scope.clone(),
        run.id,
        all.clone(),
    );
    drop(process.spawn(async move {
        let _ = engine.report_steps(&scope, id, &rest).await;
    }));
    process.kill();
    let process = world.process().await;
    let told = report(&world, &process, &run, &all)
        .await
        .expect("it is in order");
    assert_eq!((told.len(), &told[..20]), (40, &first[..]));
    let indexes: Vec<u32> = told.iter().map(|step| step.step_index).collect();
    assert_eq!(indexes, (0..40).collect::<Vec<u32>>());
    assert_eq!(steps(&world, &run).await.len(), 40);
}

async fn a_tool_of_the_servers_is_not_the_devices_to_run(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let mut sent = entries(&world, "a", 1, 2);
    sent[1].step.kind = StepKind::ToolCall;
    sent[1].step.name = "read_books".to_owned();
    let refused = report(&world, &process, &run, &sent).await;
    assert!(
        matches!(&refused, Err(JournalError::ServerTool { seq: 2, tool }) if tool == "read_books"),
        "{refused:?}"
    );
    assert!(steps(&world, &run).await.is_empty());
    // That the device could not make the call is its to say; so is what its own tools did.
    sent[1].step.is_error = true;
    report(&world, &process, &run, &sent)
        .await
        .expect("it is in order");
    let mut own = entries(&world, "a", 3, 3);
    own[0].step.kind = StepKind::ToolCall;
    own[0].step.name = "camera".to_owned();
    report(&world, &process, &run, &own)
        .await
        .expect("it is in order");
    assert!(world.tools.effects().is_empty());
}

async fn a_journal_is_bounded_and_ends_with_its_session(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, TTL).await;
    let mut large = entries(&world, "a", 1, 1);
    large[0].bytes = 17 << 20;
    let full = report(&world, &process, &run, &large).await;
    assert!(matches!(full, Err(JournalError::Full)), "{full:?}");
    let many = entries(&world, "a", 1, JOURNAL_ENTRIES_MAX + 1);
    let full = report(&world, &process, &run, &many).await;
    assert!(matches!(full, Err(JournalError::Full)), "{full:?}");
    report(&world, &process, &run, &entries(&world, "a", 1, 1))
        .await
        .expect("it is in order");
    world.clock.advance(TTL);
    let late = report(&world, &process, &run, &entries(&world, "a", 2, 2)).await;
    assert!(
        matches!(
            late,
            Err(JournalError::Engine(EngineError::Terminal { .. }))
        ),
        "{late:?}"
    );
    let thread = world.begin(&process, "hi").await;
    let wrong = report(&world, &process, &thread, &entries(&world, "a", 1, 1)).await;
    assert!(
        matches!(wrong, Err(JournalError::Engine(EngineError::NotFound))),
        "{wrong:?}"
    );
    world.follow(&process, thread.id, 0).await;
}
