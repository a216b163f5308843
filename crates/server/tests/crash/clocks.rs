//! Machines whose clocks are wrong, by a day or an hour, from the start or all of a sudden. `libfaketime` shows the real
//! program another time; its uptime stays right, as that of a machine does whose clock is set.

use crate::database::Database;
use domain::Timestamp;
use domain::ports::clock::Clock;
use proof::clients::{BASE, Client, good};
use proof::http::Ask;
use proof::judge::{Verdict, judge};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::world::{QUICK, World};
use serde_json::{Value, json};
use server::clock::SystemClock;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A machine's clock, so many seconds ahead of what is right.
struct MachineClock(PathBuf);

impl MachineClock {
    fn new(world: &World, name: &str, ahead: i64) -> Self {
        let clock = Self(world.path().join(name));
        clock.set(ahead);
        clock
    }

    /// A server that runs by it sees this at once.
    fn set(&self, ahead: i64) {
        let draft = self.0.with_extension("new");
        std::fs::write(&draft, format!("{ahead:+}\n")).expect("the folder is ours");
        std::fs::rename(draft, &self.0).expect("the folder is ours");
    }

    async fn start(&self, world: &World) -> Program {
        Program::start(self.shown_to(world.command())).await.ready()
    }

    fn shown_to(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        command
    }
}

/// The library for programs with threads; where it is, the command of its package knows.
fn library() -> String {
    let asked = std::process::Command::new("faketime")
        .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let told = asked.expect("there is no faketime; apt-get install faketime");
    String::from_utf8(told.stdout)
        .expect("a path")
        .trim()
        .to_owned()
}

/// A new thread's id and the time that it has.
async fn make_thread(address: SocketAddr, title: &str) -> (String, Timestamp) {
    let body = json!({ "agent_type": "worker", "title": title });
    let asked = Ask::post(format!("{BASE}/threads"), &body)
        .send(address)
        .await;
    let thread = asked.and_then(good).expect("it is made");
    let at = serde_json::from_value(thread["created_at"].clone());
    let id = thread["id"].as_str().expect("an id").to_owned();
    (id, at.expect("a time"))
}

/// Seconds that the times of this server are ahead of what is right.
async fn ahead_by(address: SocketAddr) -> i64 {
    let now = SystemClock.now();
    let (_, at) = make_thread(address, "a time").await;
    (at.as_micros() - now.as_micros()) / 1_000_000
}

/// Ids as the list's pages have them.
async fn listed(address: SocketAddr, list: &str, limit: u32) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{BASE}/{list}?limit={limit}{cursor}");
        let asked = Ask::get(path).send(address).await;
        let page = asked.and_then(good).expect("it lists");
        let items = page[list].as_array().expect("a list");
        ids.extend(
            items
                .iter()
                .filter_map(|item| item["id"].as_str().map(str::to_owned)),
        );
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return ids,
        }
    }
}

/// Runs that wait for the world, for an approval, and for another run.
async fn begin(world: &World, address: SocketAddr, prefix: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for (kind, held) in [
        (Kind::Held, "speaks"),
        (Kind::Gated, "waits"),
        (Kind::Keyed, "keyed"),
        (Kind::Unsafe, "unsafe"),
    ] {
        let mut client = Client::new(kind, format!("{prefix}-{held}"));
        let live = client.begin(address).await.expect("it begins");
        match kind {
            Kind::Held => client.watch_until_it_speaks(live).await.expect("it speaks"),
            Kind::Gated => until_it_asks(&client, address).await,
            _ => {}
        }
        clients.push(client);
    }
    world.ledger.wait(2).await;
    clients
}

async fn until_it_asks(client: &Client, address: SocketAddr) {
    let run = client.run.clone().unwrap_or_default();
    loop {
        let asked = Ask::get(format!("{BASE}/runs/{run}")).send(address).await;
        let run = asked.and_then(good).expect("it answers");
        if run["status"] == "awaiting_approval" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Brings all of them to their ends. A run whose question counted as denied in the meantime did not do what it was to do.
async fn assert_unharmed(world: &World, address: SocketAddr, clients: Vec<Client>) {
    let mut verdict = Verdict::default();
    judge(world, address, clients, &mut verdict).await;
    assert!(verdict.complaints.is_empty(), "{:#?}", verdict.complaints);
}

/// Pages small and large tell the same, each item once.
async fn assert_lists_are_sane(address: SocketAddr) {
    for list in ["threads", "runs", "approvals"] {
        let whole = listed(address, list, 50).await;
        assert_eq!(listed(address, list, 3).await, whole, "{list}");
        let once: std::collections::BTreeSet<&String> = whole.iter().collect();
        assert_eq!(once.len(), whole.len(), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_clocks_are_days_apart_share_one_time_and_their_runs() {
    within(LIMIT, async {
        let world = Database::Postgres.world().await.set(&QUICK);
        let first = MachineClock::new(&world, "first", DAY).start(&world).await;
        let second = MachineClock::new(&world, "second", -DAY)
            .start(&world)
            .await;
        let clients = begin(&world, first.address, "first").await;
        let mut made = Vec::new();
        for number in 0..8 {
            let server = if number % 2 == 0 { &first } else { &second };
            made.push(make_thread(server.address, &format!("thread {number}")).await);
        }
        let (ids, times): (Vec<String>, Vec<_>) = made.into_iter().unzip();
        assert!(times.is_sorted(), "{times:?}");
        first.kill().await;
        world.open();
        let newest: Vec<String> = listed(second.address, "threads", 3).await;
        let ours: Vec<&String> = newest.iter().filter(|id| ids.contains(id)).collect();
        assert_eq!(ours, ids.iter().rev().collect::<Vec<_>>());
        assert_unharmed(&world, second.address, clients).await;
        assert_lists_are_sane(second.address).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_jumps_by_days_moves_nothing_on_postgres() {
    within(LIMIT, async {
        let world = Database::Postgres.world().await.set(&QUICK);
        let clock = MachineClock::new(&world, "clock", 0);
        let server = clock.start(&world).await;
        let clients = begin(&world, server.address, "jumps").await;
        for ahead in [2 * DAY, -2 * DAY, 0] {
            clock.set(ahead);
            let off = ahead_by(server.address).await;
            assert!(
                off.abs() < MINUTE,
                "{off} s off with the clock {ahead} s ahead"
            );
            // Several looks for questions whose time is over.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        world.open();
        assert_unharmed(&world, server.address, clients).await;
        server.kill().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_made_where_the_clock_is_behind_lives_as_long_as_it_should() {
    within(LIMIT, async {
        let world = Database::Postgres.world().await.set(&QUICK);
        let server = world.start().await;
        let clock = MachineClock::new(&world, "clock", -2 * DAY);
        let words = [
            "keys",
            "create",
            "--name",
            "late",
            "--expires-in",
            "1",
            "--json",
        ];
        let made = clock.shown_to(world.beside(&words)).output().await;
        let made = made.expect("the program can be started");
        let told: Value = serde_json::from_slice(&made.stdout).unwrap_or(Value::Null);
        let key = told["key"].as_str().unwrap_or_else(|| panic!("{made:?}"));
        let ask = Ask::get(format!("{BASE}/threads")).key(key);
        let answer = ask.send(server.address).await.expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        server.kill().await;
    })
    .await;
}

/// On a file there is no other clock than the machine's, and its uptime for what is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_goes_back_an_hour_harms_nothing_on_sqlite() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await.set(&QUICK);
        let clock = MachineClock::new(&world, "clock", 2 * HOUR);
        let server = clock.start(&world).await;
        let mut clients = begin(&world, server.address, "before").await;
        let ahead = ahead_by(server.address).await;
        assert!(ahead > HOUR + MINUTE, "its clock is right: {ahead} s");
        clock.set(HOUR);
        clients.extend(begin(&world, server.address, "jumped").await);
        server.kill().await;
        clock.set(0);
        let server = clock.start(&world).await;
        clients.extend(begin(&world, server.address, "after").await);
        world.open();
        assert_unharmed(&world, server.address, clients).await;
        assert_lists_are_sane(server.address).await;
        server.kill().await;
    })
    .await;
}
