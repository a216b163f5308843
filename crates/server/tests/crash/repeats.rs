//! A keyed request whose server is killed before it answers: nobody else takes it while the server may live, and a
//! repetition is carried out anew as soon as it is certainly dead. One whose beginning was written and never heard of: the
//! server lives, and frees its key.

use crate::database::{Database, count};
use proof::clients::{BASE, RECOVERY, good};
use proof::fleet::{socket, through};
use proof::http::{Answer, Ask};
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::proxy::{Fault, Proxy};
use proof::world::{QUICK, World};
use serde_json::json;
use std::time::{Duration, Instant};

/// Requests that leave no connection to the database without its statements.
const WARM: u32 = 24;

/// A turn of the server's model for a session, which is held in the middle.
struct Turn {
    ask: Ask,
}

impl Turn {
    async fn begin(world: &World, server: &Program) -> Self {
        let body = json!({ "agent_type": "worker", "query": "q" });
        let session = Ask::post(format!("{BASE}/sessions"), &body);
        let session = session.send(server.address).await.and_then(good);
        let session = session.expect("a session is made");
        let session = session["session_id"].as_str().expect("it has an id");
        let body = json!({ "input": "hold turn" });
        let ask = Ask::post(format!("{BASE}/sessions/{session}/inference"), &body)
            .header("idempotency-key", "turn");
        tokio::spawn(ask.clone().send(server.address));
        world.model.wait_calls(1).await;
        Self { ask }
    }

    async fn repeat(&self, server: &Program) -> Answer {
        let answer = self.ask.clone().send(server.address).await;
        answer.expect("the server lives")
    }

    /// Repeats until it is carried out, and once more for the same answer.
    async fn is_carried_out(&self, world: &World, server: &Program) {
        world.open();
        let begun = Instant::now();
        let answer = loop {
            let answer = self.repeat(server).await;
            if answer.body["code"] != "idempotency_in_progress" {
                break answer;
            }
            assert!(begun.elapsed() < RECOVERY, "a dead server's key is held");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(answer.body["status"], "completed", "{answer:?}");
        let again = self.repeat(server).await;
        assert_eq!((again.status, again.body), (answer.status, answer.body));
        assert_eq!(world.model.calls().len(), 2, "once for each server");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_request_of_a_killed_server_is_carried_out_by_the_next_start() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await.set(&QUICK);
        let first = world.start().await;
        let turn = Turn::begin(&world, &first).await;
        first.kill().await;
        let second = world.start().await;
        turn.is_carried_out(&world, &second).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_request_of_a_killed_server_is_carried_out_by_the_other() {
    within(LIMIT, async {
        let world = Database::Postgres.world().await.set(&QUICK);
        let (first, second) = (world.start().await, world.start().await);
        let turn = Turn::begin(&world, &first).await;
        let early = turn.repeat(&second).await;
        assert_eq!(
            (early.status, &early.body["code"]),
            (409, &json!("idempotency_in_progress")),
            "the first server lives"
        );
        first.kill().await;
        turn.is_carried_out(&world, &second).await;
    })
    .await;
}

/// A server that would keep the key for as long as it lives, and lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_a_beginning_that_was_never_heard_of_is_freed_by_its_own_server() {
    within(LIMIT, async {
        // Whoever asks is believed without a look at the store.
        let believed = [("RUNYARD_LIMIT_KEY_TTL_MS", "60000")];
        let world = Database::Postgres.world().await.set(&believed);
        let database = world.database_url().expect("it is on PostgreSQL");
        let proxy = Proxy::before(socket(&database)).await;
        let mut command = world.command();
        command.env("RUNYARD_DATABASE_URL", through(&database, &proxy));
        let server = Program::start(command).await.ready();
        let body = json!({ "agent_type": "worker" });
        let thread = Ask::post(format!("{BASE}/threads"), &body);
        let thread = thread.send(server.address).await.and_then(good);
        let thread = thread.expect("a thread is made");
        let id = thread["id"].as_str().expect("it has an id");
        let fork = |key: &str| {
            let ask = Ask::post(format!("{BASE}/threads/{id}/fork"), &json!({}));
            ask.header("idempotency-key", key)
        };
        // A connection's first statement of a kind is prepared first, which takes an answer.
        let warming = (0..WARM).map(|number| fork(&number.to_string()).send(server.address));
        for warmed in futures::future::join_all(warming).await {
            warmed.and_then(good).expect("it is forked");
        }
        let ask = fork("fork");

        proxy.turn(Fault::Mute);
        let asked = tokio::spawn(ask.clone().send(server.address));
        let begun = "SELECT count(*) FROM idempotency WHERE key = 'fork' AND status IS NULL";
        let muted = Instant::now();
        while count(&database, begun).await == 0 {
            assert!(muted.elapsed() < RECOVERY, "it is never begun");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.turn(Fault::Reset);
        let answer = asked.await.expect("no panic").expect("the server lives");
        assert!(answer.status >= 500, "{answer:?}");
        proxy.turn(Fault::None);

        let reset = Instant::now();
        let answer = loop {
            let answer = ask.clone().send(server.address).await;
            let answer = answer.expect("the server lives");
            if answer.status == 200 {
                break answer;
            }
            assert!(reset.elapsed() < RECOVERY, "the key is held: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let again = ask.send(server.address).await.expect("the server lives");
        assert_eq!((again.status, again.body), (answer.status, answer.body));
        let threads = count(&database, "SELECT count(*) FROM chat_threads");
        assert_eq!(
            threads.await,
            1 + i64::from(WARM) + 1,
            "the last fork is one"
        );
        server.kill().await;
    })
    .await;
}
