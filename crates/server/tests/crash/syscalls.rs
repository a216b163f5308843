//! Death and failure between two system calls, wherever they are: strace kills the server at its Nth write, sync or send, or
//! lets a sync fail as a dying disk does. No point has to be named in the code for it.
//!
//! `RUNYARD_SYSCALLS` says how many of each are tried; N grows by a factor, so that few reach far.

use crate::database::Database;
use crate::sweep::laps;
use proof::clients::BASE;
use proof::http::{Ask, PATIENCE};
use proof::judge::{Verdict, judge};
use proof::limit::{LIMIT, within};
use proof::program::{Program, Start};
use proof::world::{QUICK, World};
use serde_json::json;
use std::time::Duration;

/// What reaches the disk or the network.
const CALLS: [(Database, &str); 5] = [
    (Database::Sqlite, "pwrite64"),
    (Database::Sqlite, "fdatasync"),
    (Database::Sqlite, "sendto,writev"),
    (Database::Postgres, "sendto,writev"),
    (Database::Postgres, "recvfrom"),
];

fn tries() -> u32 {
    crate::number("RUNYARD_SYSCALLS").unwrap_or(1)
}

/// Which calls are hit: of each thread the Nth, so that small numbers come late enough.
fn nth(index: u32, call: &str) -> u32 {
    let first = if call == "fdatasync" { 9 } else { 23 };
    first + index * 17 % 97
}

/// A server that strace started; without strace there is none.
async fn doomed(world: &World, call: &str, injected: &str) -> Start {
    let there = std::process::Command::new("strace")
        .arg("--version")
        .output();
    assert!(there.is_ok(), "there is no strace; apt-get install strace");
    Program::start(world.traced(call, injected)).await
}

/// What is there after a death, or after the failing of a disk, and another start.
async fn judged(
    world: &World,
    clients: Vec<proof::clients::Client>,
    what: &str,
) -> (usize, Vec<String>) {
    world.open();
    let server = match Program::start(world.command()).await {
        Start::Ready(server) => *server,
        Start::Ended(status, said) => {
            return (
                0,
                vec![format!("{what}: the next start failed, {status}: {said}")],
            );
        }
    };
    let mut verdict = Verdict::default();
    judge(world, server.address, clients, &mut verdict).await;
    server.kill().await;
    let complaints = verdict.complaints.iter().map(|it| format!("{what}: {it}"));
    (verdict.runs, complaints.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_at_any_system_call_loses_and_doubles_nothing() {
    let (mut kills, mut runs, mut complaints) = (0, 0, Vec::new());
    for (database, call) in CALLS {
        for index in 0..tries() {
            let number = nth(index, call);
            let what = format!("{} {call} {number}", database.name());
            within(LIMIT, async {
                let world = database.world().await.set(&QUICK);
                let mut clients = Vec::new();
                let injected = format!("signal=KILL:when={number}");
                if let Start::Ready(mut server) = doomed(&world, call, &injected).await {
                    laps(&world, &mut server, &mut clients).await;
                    let ended = server.ended(Duration::from_secs(30)).await;
                    assert!(ended.is_some(), "{what}: it lives on:\n{}", server.said());
                }
                kills += 1;
                let (judged, wrong) = judged(&world, clients, &what).await;
                runs += judged;
                complaints.extend(wrong);
            })
            .await;
        }
    }
    println!(
        "system calls: {kills} deaths, {runs} runs, {} violations",
        complaints.len()
    );
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// After a failed sync nobody knows what is on disk (PostgreSQL learned it in 2018): what was not synced was not promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_that_fails_is_told_and_loses_nothing_that_was_promised() {
    for injected in ["error=EIO:when=12", "error=EIO:when=12+"] {
        within(LIMIT, async {
            let world = Database::Sqlite.world().await.set(&QUICK);
            let mut clients = Vec::new();
            let Start::Ready(mut server) = doomed(&world, "fdatasync", injected).await else {
                panic!("{injected}: the start has fewer than twelve syncs");
            };
            // Those who were told nothing would wait for ever.
            let coming = laps(&world, &mut server, &mut clients);
            let _ = tokio::time::timeout(Duration::from_secs(8), coming).await;
            // After one that failed nobody knows what the disk has, so nothing more is promised before a restart.
            let asked = Ask::post(
                format!("{BASE}/threads"),
                &json!({ "agent_type": "worker" }),
            );
            let told = tokio::time::timeout(PATIENCE, asked.send(server.address)).await;
            let told = told.expect("it answers").expect("it lives");
            assert_eq!(told.status, 503, "{}", told.body);
            let said = server.said();
            // strace would let go of it: the program itself is ended.
            world.end_traced(&server).await;
            let ended = server.ended(PATIENCE).await;
            assert!(ended.is_some(), "strace ends with it");
            let (_, complaints) = judged(&world, clients, injected).await;
            assert!(complaints.is_empty(), "{complaints:#?}\n{said}");
        })
        .await;
    }
}
