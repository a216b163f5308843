//! A keyed request whose server is killed before it answers: nobody else takes it while the server may live, and a
//! repetition is carried out anew as soon as it is certainly dead.

use crate::database::Database;
use proof::clients::{BASE, RECOVERY, good};
use proof::http::{Answer, Ask};
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::world::{QUICK, World};
use serde_json::json;
use std::time::{Duration, Instant};

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
