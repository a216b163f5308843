//! Two servers on one store: refused on a file, help in need on a database.

use crate::database::Database;
use proof::clients::{Client, RECOVERY};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::{Program, Start};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_server_on_one_file_is_refused_until_the_first_is_dead() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await;
        let first = world.start().await;
        match Program::start(world.command()).await {
            Start::Ready(_) => panic!("two servers on one file"),
            Start::Ended(status, said) => {
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(
                    said.contains("is being served by another process"),
                    "{said}"
                );
            }
        }
        let mut client = Client::new(Kind::Plain, "first".to_owned());
        client
            .act(&world, first.address)
            .await
            .expect("the first is unharmed");
        first.kill().await;
        let second = world.start().await;
        let finished = client.finish(&world, second.address).await;
        let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(finished.history.violations(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_killed_server_are_finished_by_the_other() {
    within(LIMIT, async {
        let world = Database::Postgres.world().await;
        let (first, second) = (world.start().await, world.start().await);
        let mut clients = Vec::new();
        for (kind, tag) in [
            (Kind::Held, "speaker-1"),
            (Kind::Held, "speaker-2"),
            (Kind::Keyed, "held-keyed"),
            (Kind::Unsafe, "held-unsafe"),
        ] {
            let mut client = Client::new(kind, tag.to_owned());
            let live = client.begin(first.address).await.expect("it begins");
            if kind == Kind::Held {
                client.watch_until_it_speaks(live).await.expect("it speaks");
            }
            clients.push(client);
        }
        world.ledger.wait(2).await;
        first.kill().await;
        world.open();
        let killed = Instant::now();
        for client in &mut clients {
            let finished = client.finish(&world, second.address).await;
            let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
            assert!(killed.elapsed() < RECOVERY, "{:?}", killed.elapsed());
            let mut violations = finished.history.violations();
            let effects = client.effects(&world, second.address).await;
            let effects = effects.unwrap_or_else(|complaint| panic!("{complaint}"));
            violations.extend(effects.violations());
            assert_eq!(violations, [], "{}", client.tag);
        }
    })
    .await;
}
