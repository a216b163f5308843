//! A run that waits behind another and is set free in the instant in which it is made.

use crate::database::Database;
use proof::clients::Client;
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::{Program, Start};

/// The request that made it has not gone yet when the run before it ends and hands the thread on.
async fn set_free_at_once(database: Database) {
    let world = database.world().await;
    let mut command = world.command();
    command.env("FAILPOINTS", "run.after_create=1*off->1*sleep(1500)->off");
    let server = match Program::start(command).await {
        Start::Ready(program) => *program,
        Start::Ended(status, said) => panic!("ended at its start, {status}: {said}"),
    };
    let mut client = Client::new(Kind::Behind, "promoted".to_owned());
    let acted = client.act(&world, server.address).await;
    acted.expect("both runs come to their end");
    for mut client in client.apart() {
        let finished = client.finish(&world, server.address).await;
        let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(finished.history.violations(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_that_is_set_free_while_it_is_made_is_driven_on_sqlite() {
    within(LIMIT / 2, set_free_at_once(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_that_is_set_free_while_it_is_made_is_driven_on_postgres() {
    within(LIMIT / 2, set_free_at_once(Database::Postgres)).await;
}
