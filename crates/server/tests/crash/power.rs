//! The power fails under a server on SQLite: what its clients were told is on the disk, whatever the disk made of what it was
//! not told to sync.
//!
//! strace writes down what a real server does to its files and tells its clients. Afterwards the power is cut at each sync
//! and at many other moments of it: `drive` makes the files that a disk may have then, the real store opens them, and
//! `promises` looks for everything that had been told. `RUNYARD_POWER_CUTS` says how many moments are tried,
//! `RUNYARD_POWER_SEED` which.

mod drive;
mod promises;
mod trace;

use crate::database::Database;
use crate::number;
use crate::sweep::laps;
use drive::{Drive, Image, Luck};
use promises::{Ears, Promise, broken};
use proof::clients::Client;
use proof::dice::Dice;
use proof::http::PATIENCE;
use proof::judge::{Verdict, judge};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::world::{QUICK, World};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use store::OpenMode;
use tokio::task::JoinSet;
use trace::{Deed, Moment};

/// Moments tried of each recording; a few minutes' worth are asked for by the variable.
const CUTS: usize = 240;
/// Images opened at once.
const AT_ONCE: usize = 3;
/// The log is moved into the file and begun anew many times in a short recording.
const CHECKPOINTS: [(&str, &str); 1] = [("FAILPOINTS", "store.checkpoint_pages=return(40)")];

fn cuts() -> usize {
    number("RUNYARD_POWER_CUTS").unwrap_or(CUTS)
}

fn dice() -> (u64, Dice) {
    let seed = number("RUNYARD_POWER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    (seed, Dice::new(seed))
}

/// A server under strace.
struct Recorder {
    server: Program,
    trace: std::path::PathBuf,
}

impl Recorder {
    async fn start(world: &World, name: &str) -> Self {
        let there = std::process::Command::new("strace")
            .arg("--version")
            .output();
        assert!(there.is_ok(), "there is no strace; apt-get install strace");
        // The first start makes its folder, if it can: what was made before it is no business of this drive's.
        let _ = std::fs::remove_dir(world.data());
        let trace = world.path().join(name);
        let command = world.recorded(trace::CALLS, &trace);
        let server = Program::start(command).await.ready();
        Self { server, trace }
    }

    /// Ends the server by a signal; what it did.
    async fn end(mut self, world: &World, signal: &str) -> Vec<Moment> {
        world.signal_traced(self.server.pid(), signal).await;
        let ended = self.server.ended(PATIENCE).await;
        assert!(ended.is_some(), "strace ends with it");
        let text = std::fs::read_to_string(&self.trace).expect("strace wrote it");
        trace::read(&text, &world.data(), self.server.address)
    }

    async fn lap(&self, world: &World, name: &str) {
        let acting = Kind::LAP.into_iter().map(|kind| async move {
            let tag = format!("{kind:?}-{name}").to_lowercase();
            let mut client = Client::new(kind, tag);
            let acted = client.act(world, self.server.address).await;
            acted.unwrap_or_else(|error| panic!("{}: {error}", client.tag));
        });
        futures::future::join_all(acting).await;
    }
}

/// Clients of every kind come to a server, which is then told to stop, and to the one after it, which is killed.
async fn record(world: &World) -> Vec<Vec<Moment>> {
    let first = Recorder::start(world, "first.trace").await;
    first.lap(world, "one").await;
    let first = first.end(world, "-TERM").await;
    let second = Recorder::start(world, "second.trace").await;
    second.lap(world, "two").await;
    vec![first, second.end(world, "-KILL").await]
}

/// Times that the log was begun: each but the first two came after a checkpoint.
fn logs_begun(recording: &[Vec<Moment>]) -> usize {
    let heads = recording.iter().flatten().filter(|moment| {
        matches!(moment, Moment::Begins(_, Deed::Write { file, at: Some(0), .. }) if file.ends_with("-wal"))
    });
    heads.count()
}

/// Moments at which to cut: right before a sync has come back there is most to lose. Others are thrown.
fn moments(recording: &[Vec<Moment>], cuts: usize, dice: &Dice) -> Vec<BTreeSet<usize>> {
    let parts = recording.iter().map(|part| {
        let mut syncs = BTreeSet::new();
        let mut chosen = BTreeSet::new();
        for (at, moment) in part.iter().enumerate() {
            match moment {
                Moment::Begins(call, Deed::Sync(_)) => {
                    syncs.insert(*call);
                }
                Moment::Ends(call) if syncs.contains(call) => {
                    chosen.insert(at);
                }
                Moment::Begins(..) | Moment::Ends(_) => {}
            }
        }
        let share = cuts / recording.len();
        while chosen.len() > share * 2 / 3 {
            let which = dice.index(chosen.len());
            let cut = chosen.iter().nth(which).copied();
            chosen.remove(&cut.expect("there are that many"));
        }
        while chosen.len() < share.min(part.len() / 2) {
            chosen.insert(dice.index(part.len()));
        }
        chosen
    });
    parts.collect()
}

/// What came of many cuts.
#[derive(Default)]
struct Found {
    images: usize,
    /// Promises looked for, over all images.
    promises: usize,
    complaints: Vec<String>,
}

/// Cuts the power at many moments of a recording. A disk that lies does so from the first answer on.
async fn cut(recording: &[Vec<Moment>], cuts: usize, dice: &Dice, lies: bool) -> Found {
    let (mut drive, mut found, mut opening) = (Drive::default(), Found::default(), JoinSet::new());
    let mut told: Vec<Promise> = Vec::new();
    for (part, moments) in recording.iter().zip(moments(recording, cuts, dice)) {
        let mut ears = Ears::default();
        let before = told.len();
        for (at, moment) in part.iter().enumerate() {
            if moments.contains(&at) {
                let luck = [Luck::Nothing, Luck::Everything, Luck::Dice, Luck::Dice];
                let luck = *dice.pick(&luck);
                let what = format!("cut at {at}, {luck:?} of the rest kept");
                let image = drive.image(luck, dice);
                let told = told.clone();
                found.promises += told.len();
                found.images += 1;
                opening.spawn(async move {
                    let wrong = examine(&image, &told).await;
                    wrong
                        .into_iter()
                        .map(|it| format!("{what}: {it}"))
                        .collect::<Vec<_>>()
                });
            }
            while opening.len() >= AT_ONCE {
                let wrong = opening.join_next().await.expect("there is one");
                found.complaints.extend(wrong.expect("no panic"));
            }
            ears.take(moment);
            drive.take(moment);
            told.extend_from_slice(&ears.promises[told.len() - before..]);
            drive.lies = lies && !told.is_empty();
        }
    }
    while let Some(wrong) = opening.join_next().await {
        found.complaints.extend(wrong.expect("no panic"));
    }
    found
}

fn lay(image: &Image, folder: &Path) {
    for (name, bytes) in image {
        std::fs::write(folder.join(name), bytes).expect("the folder is ours");
    }
}

/// Opens what a disk has, as a start does, and looks for what was promised.
async fn examine(image: &Image, told: &[Promise]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    lay(image, folder.path());
    let path = folder.path().join("runyard.db");
    let opened = store::open(&path.to_string_lossy(), OpenMode::Serve).await;
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            return vec![format!(
                "it does not open: {error}: {:?}",
                std::error::Error::source(&error)
            )];
        }
    };
    let mut wrong = broken(&*store, told).await;
    store.close().await;
    drop(store);
    if let Err(error) = store::sqlite::inspect(&path) {
        wrong.push(format!("it is damaged: {error}"));
    }
    if !told.is_empty() && !image.contains_key("owner.key") {
        wrong.push("the owner's key is gone".to_owned());
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_is_on_a_disk_whose_power_failed() {
    let (seed, dice) = dice();
    within(LIMIT * 4, async {
        let world = Database::Sqlite.world().await.set(&QUICK).set(&CHECKPOINTS);
        let recording = record(&world).await;
        let logs = logs_begun(&recording);
        assert!(logs > 4, "only {logs} logs: no checkpoint in mid-work");
        let found = cut(&recording, cuts(), &dice, false).await;
        println!(
            "power, seed {seed}: {} cuts over {logs} logs, {} promises looked for, {} not kept",
            found.images,
            found.promises,
            found.complaints.len()
        );
        assert!(found.promises > found.images, "hardly anything was told");
        assert!(
            found.complaints.is_empty(),
            "seed {seed}: {:#?}",
            found.complaints
        );
    })
    .await;
}

/// The same, with a disk that says that it synced and did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_does_not_sync_is_found_out() {
    let (seed, dice) = dice();
    within(LIMIT, async {
        let world = Database::Sqlite.world().await.set(&QUICK).set(&CHECKPOINTS);
        let recorder = Recorder::start(&world, "only.trace").await;
        recorder.lap(&world, "one").await;
        let recording = [recorder.end(&world, "-KILL").await];
        let found = cut(&recording, 40, &dice, true).await;
        let lost = found.complaints.iter().any(|it| it.contains("lost: "));
        println!(
            "power, seed {seed}: {} of {} promises not kept by a disk that lies",
            found.complaints.len(),
            found.promises
        );
        assert!(
            lost,
            "seed {seed}: nothing was lost in {} cuts",
            found.images
        );
    })
    .await;
}

/// The whole way: clients at work, the power cut, the next start on what the disk has, and the judge of every other crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_goes_on_after_its_power_was_cut() {
    let (seed, dice) = dice();
    let rounds = cuts().div_ceil(CUTS) * 2;
    let (mut runs, mut complaints) = (0, Vec::new());
    for _ in 0..rounds {
        within(LIMIT, async {
            let world = Database::Sqlite.world().await;
            let world = world.set(&QUICK).set(&CHECKPOINTS);
            let lives = 500 + dice.roll(2_500);
            let (clients, did) = cut_short(&world, Duration::from_millis(lives)).await;
            let mut drive = Drive::default();
            did.iter().for_each(|moment| drive.take(moment));
            std::fs::remove_dir_all(world.data()).expect("the folder is ours");
            std::fs::create_dir(world.data()).expect("the folder is ours");
            lay(&drive.image(Luck::Dice, &dice), &world.data());
            world.open();
            let server = world.start().await;
            let mut verdict = Verdict::default();
            judge(&world, server.address, clients, &mut verdict).await;
            server.kill().await;
            runs += verdict.runs;
            complaints.extend(verdict.complaints);
        })
        .await;
    }
    println!(
        "power, seed {seed}: {rounds} restarts, {runs} runs, {} violations",
        complaints.len()
    );
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
}

/// Clients of every kind at a server that lives so long, and what it did.
async fn cut_short(world: &World, lives: Duration) -> (Vec<Client>, Vec<Moment>) {
    let mut clients = Vec::new();
    let mut recorder = Recorder::start(world, "only.trace").await;
    let pid = recorder.server.pid();
    let ending = async {
        tokio::time::sleep(lives).await;
        world.signal_traced(pid, "-KILL").await;
    };
    tokio::join!(ending, laps(world, &mut recorder.server, &mut clients));
    (clients, recorder.end(world, "-KILL").await)
}
