//! Servers killed, stopped past their lease, cut off from the database, from NATS or from their clients at random, while
//! clients of every kind come to whichever answers. Afterwards every run is judged as after a single kill.
//!
//! `RUNYARD_STORM_RUNS` makes it longer, `RUNYARD_STORM_SEED` repeats an order of blows.

use crate::database::Database;
use crate::{nats, number};
use proof::fleet::{Blows, Fleet};
use proof::judge::Verdict;
use proof::limit::{LIMIT, within};
use proof::storm::wave;
use proof::world::QUICK;

const RUNS: usize = 200;
/// On a file each blow meets all, and a calm wave is over soon.
const RUNS_ON_FILE: usize = 60;
const BLOWS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_fleet_under_blows_end_once_and_are_told_exactly() {
    let runs = number("RUNYARD_STORM_RUNS").unwrap_or(RUNS);
    let seed = seed();
    println!("storm, seed {seed}: {runs} clients");
    // Longer storms in proportion.
    let parts = u32::try_from(runs.div_ceil(RUNS)).expect("not that many");
    let storm = async {
        let prefix = format!("storm-{}-{seed}", std::process::id());
        let world = Database::Postgres
            .world()
            .await
            .set(&QUICK)
            .set(&[("RUNYARD_NATS_PREFIX", &prefix)]);
        let fleet = Fleet::start(&world, 3, Some(&nats()), seed).await;
        world.open();
        (wave(&fleet, 0..runs).await, fleet.blows())
    };
    let (verdict, blows) = within(LIMIT * parts.max(1), storm).await;
    println!("{}", told(&verdict, blows, seed));
    is_calm(&verdict, blows, seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_server_under_blows_end_once_and_are_told_exactly() {
    let seed = seed();
    let storm = async {
        let world = Database::Sqlite.world().await.set(&QUICK);
        let fleet = Fleet::start(&world, 1, None, seed).await;
        world.open();
        let mut all = wave(&fleet, 0..RUNS_ON_FILE).await;
        let mut next = RUNS_ON_FILE;
        while fleet.blows().all() < BLOWS {
            let verdict = wave(&fleet, next..next + RUNS_ON_FILE).await;
            next += RUNS_ON_FILE;
            all.runs += verdict.runs;
            all.complaints.extend(verdict.complaints);
        }
        (all, fleet.blows())
    };
    let (verdict, blows) = within(LIMIT, storm).await;
    println!("{}", told(&verdict, blows, seed));
    is_calm(&verdict, blows, seed);
}

fn seed() -> u64 {
    number("RUNYARD_STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()))
}

fn told(verdict: &Verdict, blows: Blows, seed: u64) -> String {
    format!(
        "storm, seed {seed}: {} runs, {} kills, {} stops, {} cut off, {} violations (95% bound {:.4} of runs)",
        verdict.runs,
        blows.kills,
        blows.stops,
        blows.cuts,
        verdict.complaints.len(),
        3.0 / f64::from(u32::try_from(verdict.runs).unwrap_or(u32::MAX)),
    )
}

fn is_calm(verdict: &Verdict, blows: Blows, seed: u64) {
    let complaints: Vec<String> = verdict.complaints.iter().map(ToString::to_string).collect();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    assert!(blows.all() >= BLOWS, "only {blows:?}");
}
