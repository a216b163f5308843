//! Kills the server at every named crash point, on each store, and judges what the next start makes of it. A point that
//! is never reached fails the test, so that the list of points cannot lie.
//!
//! `RUNYARD_SWEEP_ROUNDS` makes it longer, each round killing at another passage of each point; `RUNYARD_SWEEP_POINT` names
//! the only one to kill at;
//! `RUNYARD_SWEEP_REPORT` names a file for a line on each point.

use crate::database::Database;
use domain::crash::POINTS;
use proof::clients::{Client, Complaint};
use proof::judge::{Verdict, judge};
use proof::kinds::Kind;
use proof::limit::LIMIT;
use proof::program::{Program, Start, is_crash};
use proof::world::{QUICK, World};
use std::fmt::Write;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Servers at work at once; they wait for disks and leases more than for processors. Not more, because each keeps its
/// connections, of which PostgreSQL has a hundred by default.
const AT_ONCE: usize = 3;
/// A point that is not reached in this time is not reached.
const REACHED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_on_sqlite() {
    sweep(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_on_postgres() {
    sweep(Database::Postgres).await;
}

/// One kill and what came of it.
struct Kill {
    point: &'static str,
    hits: u32,
    verdict: Verdict,
    said: String,
}

/// What is said of a kill that does not come to its end.
const HANGS: &str = "it hangs";

impl Kill {
    fn new(point: &'static str, hits: u32) -> Self {
        Self {
            point,
            hits,
            verdict: Verdict::default(),
            said: String::new(),
        }
    }

    fn hangs(&self) -> bool {
        let mut complaints = self.verdict.complaints.iter();
        complaints.any(|Complaint(what)| what.starts_with(HANGS))
    }
}

/// How the point is passed.
enum Way {
    /// Clients come until it happens.
    Clients,
    /// The server is told to stop while clients are there.
    Stop,
    /// The server is killed with runs at work, and the next start passes it.
    Recovery,
}

fn way(point: &str) -> Way {
    match point.split('.').next() {
        Some("drain") => Way::Stop,
        Some("recovery") => Way::Recovery,
        _ => Way::Clients,
    }
}

/// Points that a lap of clients passes once or twice.
const RARE: [&str; 5] = [
    "cancel.",
    "approval.",
    "session.",
    "response.",
    "idempotency.",
];

/// Which passage of the point kills in a round. The first round takes one in the middle of things.
fn hits(point: &str, round: u32) -> u32 {
    let (first, span) = match point {
        "turn.mid_stream" => (11, 40),
        point if point.starts_with("store.") => (30, 90),
        point if point.starts_with("stream.") => (3, 12),
        point if point.starts_with("recovery.") => (2, 4),
        point if point.starts_with("drain.") => (1, 1),
        point if RARE.iter().any(|kind| point.starts_with(kind)) => (1, 3),
        _ => (2, 9),
    };
    (first - 1 + round * 7) % span + 1
}

async fn sweep(database: Database) {
    let rounds: u32 = crate::number("RUNYARD_SWEEP_ROUNDS").unwrap_or(1);
    let only = std::env::var("RUNYARD_SWEEP_POINT").ok();
    let points: Vec<&'static str> = POINTS
        .iter()
        .copied()
        .filter(|point| only.as_deref().is_none_or(|only| only == *point))
        .collect();
    let mut waiting =
        (0..rounds).flat_map(|round| points.iter().map(move |point| (*point, hits(point, round))));
    let mut at_work = JoinSet::new();
    let mut kills: Vec<Kill> = Vec::new();
    loop {
        // Where one hangs, others would: what is under way is waited for, and that is all.
        while !kills.iter().any(Kill::hangs)
            && at_work.len() < AT_ONCE
            && let Some((point, hits)) = waiting.next()
        {
            at_work.spawn(kill_in_time(database, point, hits));
        }
        match at_work.join_next().await {
            Some(done) => kills.push(done.expect("a kill does not panic")),
            None => break,
        }
    }
    report(database, &kills);
    let mut failures = String::new();
    for kill in kills
        .iter()
        .filter(|kill| !kill.verdict.complaints.is_empty())
    {
        writeln!(
            failures,
            "{} at passage {} on {}:",
            kill.point,
            kill.hits,
            database.name()
        )
        .expect("it is text");
        for complaint in &kill.verdict.complaints {
            writeln!(failures, "  {complaint}").expect("it is text");
        }
        writeln!(failures, "  the servers said:\n{}", kill.said).expect("it is text");
    }
    assert!(failures.is_empty(), "{failures}");
}

fn report(database: Database, kills: &[Kill]) {
    let Some(path) = std::env::var_os("RUNYARD_SWEEP_REPORT") else {
        return;
    };
    let mut lines = String::new();
    for point in POINTS {
        let of_point: Vec<&Kill> = kills.iter().filter(|kill| kill.point == *point).collect();
        let runs: usize = of_point.iter().map(|kill| kill.verdict.runs).sum();
        let wrong: usize = of_point
            .iter()
            .map(|kill| kill.verdict.complaints.len())
            .sum();
        let slowest = of_point
            .iter()
            .map(|kill| kill.verdict.slowest.as_millis())
            .max()
            .unwrap_or_default();
        let name = database.name();
        writeln!(
            lines,
            "{name} {point} {} {runs} {wrong} {slowest}",
            of_point.len()
        )
        .expect("it is text");
    }
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
    written.expect("the report can be written");
}

async fn kill_in_time(database: Database, point: &'static str, hits: u32) -> Kill {
    let done = timeout(LIMIT, kill(database, point, hits)).await;
    done.unwrap_or_else(|_| {
        let mut kill = Kill::new(point, hits);
        let hangs = format!("{HANGS}: not over after {LIMIT:?}");
        kill.verdict.complaints.push(Complaint(hangs));
        kill
    })
}

async fn kill(database: Database, point: &'static str, hits: u32) -> Kill {
    let world = database.world().await.set(&QUICK);
    let mut clients = Vec::new();
    let mut kill = Kill::new(point, hits);
    let died = match way(point) {
        Way::Clients => die_of_clients(&world, point, hits, &mut clients).await,
        Way::Stop => die_of_stopping(&world, point, hits, &mut clients).await,
        Way::Recovery => die_of_recovery(&world, point, hits, &mut clients).await,
    };
    match died {
        Ok(said) => kill.said = said,
        Err(complaint) => {
            kill.verdict.complaints.push(complaint);
            return kill;
        }
    }
    world.open();
    let server = match Program::start(world.command()).await {
        Start::Ready(server) => *server,
        Start::Ended(status, said) => {
            kill.verdict.complaints.push(Complaint(format!(
                "the next start failed, {status}: {said}"
            )));
            return kill;
        }
    };
    judge(&world, server.address, clients, &mut kill.verdict).await;
    if !kill.verdict.complaints.is_empty() {
        write!(kill.said, "\n-- the next start --\n{}", server.said()).expect("it is text");
    }
    server.kill().await;
    kill
}

/// Waits for the death by crash point. The server's words, or why there is no such death.
async fn death(mut server: Program) -> Result<String, Complaint> {
    match server.ended(REACHED).await {
        Some(status) if is_crash(status) => Ok(server.said()),
        Some(status) => Err(Complaint(format!(
            "died of something else, {status}:\n{}",
            server.said()
        ))),
        None => Err(Complaint(format!(
            "the point was never reached:\n{}",
            server.said()
        ))),
    }
}

/// A start with the point armed; `None` if the server died of it before it was ready.
async fn doomed(world: &World, point: &str, hits: u32) -> Result<Option<Program>, Complaint> {
    match world.start_doomed(point, hits).await {
        Start::Ready(server) => Ok(Some(*server)),
        Start::Ended(status, _) if is_crash(status) => Ok(None),
        Start::Ended(status, said) => Err(Complaint(format!(
            "the start failed of something else, {status}:\n{said}"
        ))),
    }
}

/// Laps of clients of every kind until the server is dead.
async fn die_of_clients(
    world: &World,
    point: &str,
    hits: u32,
    clients: &mut Vec<Client>,
) -> Result<String, Complaint> {
    let Some(mut server) = doomed(world, point, hits).await? else {
        return Ok(String::new());
    };
    let failed = laps(world, &mut server, clients).await;
    death(server).await.map_err(|complaint| match failed {
        Some(failed) => Complaint(format!("{failed}; {complaint}")),
        None => complaint,
    })
}

/// Clients of every kind come, lap after lap, until the server is dead, one of them fails, or time is up. Says which one
/// failed, and why.
pub async fn laps(
    world: &World,
    server: &mut Program,
    clients: &mut Vec<Client>,
) -> Option<String> {
    let address = server.address;
    let begun = Instant::now();
    for lap in 0.. {
        let acting = Kind::LAP.into_iter().map(|kind| async move {
            let mut client = Client::new(kind, format!("{kind:?}-{lap}").to_lowercase());
            let acted = match timeout(LIMIT / 2, client.act(world, address)).await {
                Ok(acted) => acted,
                Err(_) => Err(io::Error::other(client.stuck(address).await.0)),
            };
            (client, acted)
        });
        let acted = futures::future::join_all(acting).await;
        let failed = acted.iter().find_map(|(client, acted)| {
            Some(format!("{} {}: {}", lap, client.tag, acted.as_ref().err()?))
        });
        clients.extend(acted.into_iter().flat_map(|(client, _)| client.apart()));
        if failed.is_some() {
            return failed;
        }
        if server.is_over() || begun.elapsed() > REACHED {
            break;
        }
    }
    None
}

/// Clients are there when the server is told to stop.
async fn die_of_stopping(
    world: &World,
    point: &str,
    hits: u32,
    clients: &mut Vec<Client>,
) -> Result<String, Complaint> {
    let Some(server) = doomed(world, point, hits).await? else {
        return Err(Complaint("it died before it was told to stop".to_owned()));
    };
    hold(world, &server, clients).await?;
    server.terminate().await;
    death(server).await
}

/// The server is killed with runs at work, and the next one dies of taking them up.
async fn die_of_recovery(
    world: &World,
    point: &str,
    hits: u32,
    clients: &mut Vec<Client>,
) -> Result<String, Complaint> {
    let server = world.start().await;
    hold(world, &server, clients).await?;
    server.kill().await;
    match doomed(world, point, hits).await? {
        Some(server) => death(server).await,
        None => Ok(String::new()),
    }
}

/// Runs in mid-turn and runs whose tools have not answered, all of them held.
async fn hold(world: &World, server: &Program, clients: &mut Vec<Client>) -> Result<(), Complaint> {
    for (kind, tag) in [
        (Kind::Held, "speaker-1"),
        (Kind::Held, "speaker-2"),
        (Kind::Keyed, "held-keyed"),
        (Kind::Unsafe, "held-unsafe"),
    ] {
        let mut client = Client::new(kind, tag.to_owned());
        let live = client.begin(server.address).await;
        let live = live.map_err(|error| client.complain("begun", error))?;
        if kind == Kind::Held {
            let spoke = client.watch_until_it_speaks(live).await;
            spoke.map_err(|error| client.complain("heard", error))?;
        }
        clients.push(client);
    }
    world.ledger.wait(2).await;
    Ok(())
}

#[test]
fn documentation_tells_of_every_crash_point() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/durability.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let told: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(told, POINTS);
}
