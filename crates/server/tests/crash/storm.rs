//! Three servers on PostgreSQL and NATS, killed, stopped past their lease, cut off from the database, from NATS or
//! from their clients at random, while clients of every kind come to whichever answers. Afterwards every run is judged as
//! after a single kill.
//!
//! `RUNYARD_STORM_RUNS` makes it longer, `RUNYARD_STORM_SEED` repeats an order of blows.

use crate::clients::Client;
use crate::database::Database;
use crate::kinds::Kind;
use crate::limit::{LIMIT, within};
use crate::program::{Program, Start};
use crate::proxy::{FAULTS, Proxy};
use crate::sweep::{Verdict, judge};
use crate::world::{QUICK, World};
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;
use url::Url;

const SERVERS: usize = 3;
/// Clients at work at once.
const AT_ONCE: usize = 12;
const RUNS: usize = 200;
const STRIKERS: usize = 2;
/// Longer than the lease of `QUICK`, so that the others take what a stopped server had.
const STOPPED: Duration = Duration::from_millis(3_500);
/// How long a client goes on asking before the storm counts as lost.
const ENDURANCE: Duration = Duration::from_secs(60);

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// How long something is cut off.
const CUT_OFF: Duration = Duration::from_millis(2_500);

/// What each server has between itself and the world.
struct Edges {
    database: Proxy,
    nats: Proxy,
    clients: Proxy,
}

struct Fleet {
    edges: [Edges; SERVERS],
    programs: [Mutex<Option<Program>>; SERVERS],
    dice: Dice,
    kills: AtomicU64,
    stops: AtomicU64,
    cuts: AtomicU64,
}

impl Fleet {
    async fn start(world: &World, nats: &str, seed: u64) -> Self {
        let mut edges = Vec::new();
        let mut programs = Vec::new();
        for _ in 0..SERVERS {
            let edge = Edges {
                database: Proxy::before(socket(&world.database_url())).await,
                nats: Proxy::before(socket(nats)).await,
                clients: Proxy::before(SocketAddr::from(([127, 0, 0, 1], 9))).await,
            };
            let started = Program::start(behind(world, &edge)).await.ready();
            edge.clients.lead_to(started.address);
            programs.push(started);
            edges.push(edge);
        }
        let programs: Vec<Mutex<Option<Program>>> = programs
            .into_iter()
            .map(|program| Mutex::new(Some(program)))
            .collect();
        Self {
            edges: edges.try_into().ok().expect("as many as started"),
            programs: programs.try_into().ok().expect("as many as started"),
            dice: Dice(AtomicU64::new(seed)),
            kills: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        }
    }

    fn any(&self) -> SocketAddr {
        let sides = u64::try_from(SERVERS).expect("a small number");
        let index = usize::try_from(self.dice.roll(sides)).expect("a small number");
        self.edges[index].clients.address
    }

    /// Starts a server as a supervisor does: again and again while it ends, which it does where it finds no database.
    async fn again(&self, world: &World, index: usize) -> Program {
        let begun = Instant::now();
        loop {
            match Program::start(behind(world, &self.edges[index])).await {
                Start::Ready(program) => return *program,
                Start::Ended(status, said) => assert!(
                    begun.elapsed() < ENDURANCE,
                    "no start succeeds, {status}:\n{said}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// One blow, and its undoing.
    async fn strike(&self, world: &World) {
        let sides = u64::try_from(SERVERS).expect("a small number");
        let index = usize::try_from(self.dice.roll(sides)).expect("a small number");
        let blow = self.dice.roll(6);
        if blow >= 2 {
            self.cuts.fetch_add(1, Ordering::Relaxed);
            let sides = u64::try_from(FAULTS.len()).expect("a small number");
            let fault = FAULTS[usize::try_from(self.dice.roll(sides)).expect("a small number")];
            let edge = match blow {
                2 | 3 => &self.edges[index].database,
                4 => &self.edges[index].nats,
                _ => &self.edges[index].clients,
            };
            edge.fail(fault, CUT_OFF).await;
            return;
        }
        let mut place = self.programs[index].lock().await;
        let program = place.take().expect("nobody else has it");
        let program = if blow == 0 {
            self.kills.fetch_add(1, Ordering::Relaxed);
            program.kill().await;
            tokio::time::sleep(Duration::from_millis(self.dice.roll(800))).await;
            self.again(world, index).await
        } else {
            self.stops.fetch_add(1, Ordering::Relaxed);
            program.stop().await;
            tokio::time::sleep(STOPPED).await;
            program.go_on().await;
            program
        };
        self.edges[index].clients.lead_to(program.address);
        *place = Some(program);
    }
}

fn socket(url: &str) -> SocketAddr {
    let url = Url::parse(url).expect("an address");
    let addresses = url.socket_addrs(|| None).expect("a host and a port");
    addresses[0]
}

/// The same address at the proxy.
fn through(url: &str, proxy: &Proxy) -> String {
    let mut url = Url::parse(url).expect("an address");
    url.set_ip_host(proxy.address.ip()).expect("it has a host");
    url.set_port(Some(proxy.address.port()))
        .expect("it has a port");
    url.to_string()
}

/// A server whose ways to the database and to NATS are these.
fn behind(world: &World, edge: &Edges) -> Command {
    let mut command = world.command();
    command
        .env(
            "RUNYARD_DATABASE_URL",
            through(&world.database_url(), &edge.database),
        )
        .env("RUNYARD_NATS", format!("nats://{}", edge.nats.address));
    command
}

/// Asks whichever server answers until one has gone along to the end. A server may be stopped under the client, which
/// then gives up on it and asks another.
async fn endure(fleet: &Fleet, world: &World, kind: Kind, tag: String) -> Vec<Client> {
    let mut client = Client::new(kind, tag);
    let begun = Instant::now();
    loop {
        let address = fleet.any();
        let acting = client.act(world, address);
        let failed = match tokio::time::timeout(Duration::from_secs(8), acting).await {
            Ok(Ok(())) => return client.apart(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        assert!(
            begun.elapsed() < ENDURANCE,
            "{}: still {failed} after {ENDURANCE:?}",
            client.tag
        );
        tokio::time::sleep(Duration::from_millis(50 + fleet.dice.roll(100))).await;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_fleet_under_blows_end_once_and_are_told_exactly() {
    let runs = number("RUNYARD_STORM_RUNS").map_or(RUNS, |runs| {
        usize::try_from(runs).expect("fewer than memory holds")
    });
    let seed = number("RUNYARD_STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("storm, seed {seed}: {runs} clients");
    // Longer storms in proportion.
    let parts = u32::try_from(runs.div_ceil(RUNS)).expect("not that many");
    let (verdict, [kills, stops, cuts]) = within(LIMIT * parts.max(1), storm(runs, seed)).await;
    println!(
        "storm, seed {seed}: {} runs, {kills} kills, {stops} stops, {cuts} cut off, {} violations (95% bound {:.4} of runs)",
        verdict.runs,
        verdict.complaints.len(),
        3.0 / f64::from(u32::try_from(verdict.runs).unwrap_or(u32::MAX)),
    );
    let complaints: Vec<String> = verdict.complaints.iter().map(ToString::to_string).collect();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    let blows = kills + stops + cuts;
    assert!(blows >= 5, "only {blows} blows");
}

/// What became of the runs, and how many kills, stops and cuts there were.
async fn storm(runs: usize, seed: u64) -> (Verdict, [u64; 3]) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nats =
        std::env::var("RUNYARD_TEST_NATS").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let prefix = format!("storm-{}-{seed}", std::process::id());
    let world = World::new(Database::Postgres)
        .await
        .set(&QUICK)
        .set(&[("RUNYARD_NATS_PREFIX", &prefix)]);
    let fleet = Fleet::start(&world, &nats, seed).await;
    world.open();
    let over = AtomicBool::new(false);
    // More than one thing may go wrong at once.
    let striking = futures::future::join_all((0..STRIKERS).map(|_| async {
        while !over.load(Ordering::SeqCst) {
            fleet.strike(&world).await;
            tokio::time::sleep(Duration::from_millis(50 + fleet.dice.roll(200))).await;
        }
    }));
    let (fleet_ref, world_ref) = (&fleet, &world);
    let coming = async {
        let clients = (0..runs).map(|index| {
            let kind = Kind::LAP[index % Kind::LAP.len()];
            let tag = format!("storm-{kind:?}-{index}").to_lowercase();
            endure(fleet_ref, world_ref, kind, tag)
        });
        let clients: Vec<Vec<Client>> = futures::stream::iter(clients)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        over.store(true, Ordering::SeqCst);
        clients.into_iter().flatten().collect::<Vec<Client>>()
    };
    let (_, clients) = tokio::join!(striking, coming);
    let mut verdict = Verdict::default();
    judge(&world, fleet.any(), clients, &mut verdict).await;
    let blows = [&fleet.kills, &fleet.stops, &fleet.cuts];
    (verdict, blows.map(|count| count.load(Ordering::Relaxed)))
}
