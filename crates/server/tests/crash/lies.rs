//! Proof that the judge would see it: here the world breaks a promise behind the server's back, the server is killed as
//! in a sweep, and what the judge says of it is looked at.

use crate::database::Database;
use proof::clients::Client;
use proof::history::Violation;
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::{Start, is_crash};
use proof::world::World;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Lets a client come, kills the server at the point, starts it again, and judges what was done in the world.
async fn judged(world: &World, kind: Kind, point: &str) -> Vec<Violation> {
    let mut client = Client::new(kind, "lied-to".to_owned());
    match world.start_doomed(point, 1).await {
        Start::Ready(mut server) => {
            let acted = client.act(world, server.address).await;
            assert!(acted.is_err(), "the server outlived its client");
            let ended = server.ended(SOON).await.expect("the point is reached");
            assert!(is_crash(ended), "{}", server.said());
        }
        Start::Ended(status, said) => panic!("ended at its start, {status}: {said}"),
    }
    let server = world.start().await;
    let finished = client.finish(world, server.address).await;
    let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(finished.history.violations(), []);
    let effects = client.effects(world, server.address).await;
    let effects = effects.unwrap_or_else(|complaint| panic!("{complaint}"));
    effects.violations()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tool_that_wrongly_says_it_may_be_repeated_is_found_out() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await;
        world.lie(
            "/plain/{tag}\"\n",
            "/plain/{tag}\"\neffect = \"idempotent\"\n",
        );
        let found = judged(&world, Kind::Unsafe, "tool.before_settle_commit").await;
        assert_eq!(found, [Violation::Doubled("unsafe call")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_nobody_approved_is_found_out() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await;
        world.lie("policy = \"ask\"", "policy = \"auto\"");
        let found = judged(&world, Kind::Gated, "tool.after_settle_commit").await;
        assert_eq!(found, [Violation::Unapproved]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_forgets_is_found_out() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await;
        world.start().await.kill().await;
        // Whatever was written since the first start is in the log beside the file.
        let kept = std::fs::read(world.data().join("runyard.db-wal")).expect("it is there");
        let server = world.start().await;
        let mut client = Client::new(Kind::Plain, "forgotten".to_owned());
        let acted = client.act(&world, server.address).await;
        acted.expect("the server lives");
        server.kill().await;
        std::fs::write(world.data().join("runyard.db-wal"), kept).expect("the folder is ours");
        let server = world.start().await;
        let finished = client.finish(&world, server.address).await;
        let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(finished.history.violations(), [Violation::Lost]);
    })
    .await;
}
