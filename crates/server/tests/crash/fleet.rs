//! Several servers that nobody harms: streams rejoined at any of them, calls that outlast leases, orgs that see nothing
//! of each other.
//!
//! `RUNYARD_STREAM_CUTS` makes the cutting longer.

use crate::database::Database;
use crate::{nats, number};
use proof::clients::{Client, RECOVERY};
use proof::cuts::{cut_often, talker};
use proof::fleet::Fleet;
use proof::isolation::Isolation;
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::recovery::recover;
use proof::world::{QUICK, World};
use std::time::Duration;

const CUTS: usize = 1_000;
/// Calls that take as long as many leases.
const CALLS: usize = 100;
/// The lease of `QUICK`, ten times.
const TEN_LEASES: Duration = Duration::from_secs(20);

fn apart(world: World, name: &str) -> World {
    let prefix = format!("{name}-{}", std::process::id());
    world.set(&QUICK).set(&[("RUNYARD_NATS_PREFIX", &prefix)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_cut_anywhere_are_rejoined_at_any_server_to_the_same_bytes() {
    let cuts = number("RUNYARD_STREAM_CUTS").unwrap_or(CUTS);
    let parts = u32::try_from(cuts.div_ceil(CUTS)).expect("not that many");
    within(LIMIT * parts.max(1), async {
        let world = Database::Postgres.world_with(talker()).await;
        let world = apart(world, "cuts");
        let fleet = Fleet::start(&world, 3, Some(&nats()), 1).await;
        let cut = cut_often(&fleet.addresses(), cuts, 1).await;
        let cut = cut.expect("every server answers");
        println!(
            "{} cuts of {} runs' streams, {} wrong",
            cut.times, cut.runs, cut.wrong
        );
        assert_eq!(cut.wrong, 0, "{cut:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_outlast_ten_leases_are_sent_once() {
    within(LIMIT, async {
        let world = apart(Database::Postgres.world().await, "leases");
        let fleet = Fleet::start(&world, 3, Some(&nats()), 1).await;
        let clients = (0..CALLS).map(|number| {
            let address = *fleet.dice.pick(&fleet.addresses());
            async move {
                let mut client = Client::new(Kind::Unsafe, format!("held-{number}"));
                client.begin(address).await.expect("it begins");
                client
            }
        });
        let mut clients = futures::future::join_all(clients).await;
        world.ledger.wait(CALLS as u64).await;
        tokio::time::sleep(TEN_LEASES).await;
        world.ledger.open();
        for client in &mut clients {
            let finished = client.finish(&world, fleet.any()).await;
            finished.unwrap_or_else(|complaint| panic!("{complaint}"));
            assert_eq!(world.ledger.entry(&client.tag).plain, 1, "{}", client.tag);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_killed_server_go_on_at_another_in_time() {
    within(LIMIT, async {
        let recovered = recover(&Database::Postgres.site(), 1, 20).await;
        let recovered = recovered.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(recovered.count(), 20);
        assert_eq!(recovered.later_than(RECOVERY), 0, "{recovered:?}");
    })
    .await;
}

async fn orgs_see_nothing_of_each_other(database: Database, servers: usize) {
    within(LIMIT, async {
        let world = apart(database.world().await, "isolation");
        let nats = nats();
        let nats = (database == Database::Postgres).then_some(nats.as_str());
        let fleet = Fleet::start(&world, servers, nats, 1).await;
        let mut isolation = Isolation::begin(&world, fleet.addresses())
            .await
            .expect("it begins");
        for _ in 0..2 {
            isolation.round().await.expect("every server answers");
        }
        let tried = isolation.tried();
        assert!(tried.violations.is_empty(), "{:#?}", tried.violations);
        assert!(
            tried.empty.is_empty(),
            "nothing was put into {:?}",
            tried.empty
        );
        assert!(tried.operations.len() > 20, "{:?}", tried.operations);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orgs_see_nothing_of_each_other_on_sqlite() {
    orgs_see_nothing_of_each_other(Database::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orgs_see_nothing_of_each_other_on_postgres() {
    orgs_see_nothing_of_each_other(Database::Postgres, 2).await;
}
