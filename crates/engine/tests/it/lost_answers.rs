//! Commits whose answer is lost on the way: they happened or they did not, and the driver finds out. SQLite has no way for
//! an answer to get lost on.

use crate::fakes::Say;
use crate::world::{Database, World, run};
use domain::event::EventBody;
use domain::run::RunStatus;
use tokio_postgres::{Client, NoTls};

const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'runyard' AND wait_event_type = 'Lock'";

#[test]
fn a_commit_whose_answer_was_lost_is_made_again_if_it_did_not_happen() {
    run(Database::Postgres, cut_in_the_last_commit);
}

async fn connect(world: &World) -> Client {
    let connected = tokio_postgres::connect(&world.address, NoTls).await;
    let (client, connection) = connected.expect("the test's database is there");
    tokio::spawn(connection);
    client
}

/// The commit of the run's end waits for a lock, and loses its connection there.
async fn cut_in_the_last_commit(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("words"), Say::Gate]);
    let begun = world.begin(&process, "hi").await;
    let delta = |body: &EventBody| matches!(body, EventBody::MessageDelta { .. });
    world.follow_until(&process, begun.id, 0, delta).await;
    let client = connect(&world).await;
    let lock = client.batch_execute("BEGIN; SELECT 1 FROM runs FOR UPDATE");
    lock.await.expect("the rows are free");
    let cut = async {
        world.model.open(1);
        let waits = || async {
            let found = client.query(WAITING, &[]).await;
            !found.expect("the server answers").is_empty()
        };
        world.until("the commit", waits).await;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting; COMMIT");
        let cut = client.batch_execute(&cut).await;
        cut.expect("the server answers");
    };
    // Who watches all along is told of the end by the driver, not by the store.
    tokio::join!(world.follow(&process, begun.id, 0), cut);
    assert_eq!(world.check_ended(begun.id).await, RunStatus::Completed);
}
