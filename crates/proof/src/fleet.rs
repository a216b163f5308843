//! Servers under blows: killed and started again, stopped past their lease, cut off from their database, from NATS, from
//! their clients, from the model or from what their tools act on.

use crate::dice::Dice;
use crate::program::{Program, Start};
use crate::proxy::{FAULTS, Proxy};
use crate::world::World;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;
use url::Url;

/// Longer than the lease of `QUICK`, so that others take what a stopped server had.
const STOPPED: Duration = Duration::from_millis(3_500);
/// How long something is cut off.
const CUT_OFF: Duration = Duration::from_millis(2_500);
/// How long a server may fail to start, or a client to get on, before all counts as lost.
pub const ENDURANCE: Duration = Duration::from_secs(120);

pub struct Fleet<'a> {
    world: &'a World,
    members: Vec<Member>,
    pub dice: Dice,
    kills: AtomicU64,
    stops: AtomicU64,
    cuts: AtomicU64,
}

/// What was done to servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blows {
    pub kills: u64,
    pub stops: u64,
    /// Connections to databases, to NATS and of clients that failed for a while.
    pub cuts: u64,
}

impl Blows {
    pub fn all(self) -> u64 {
        self.kills + self.stops + self.cuts
    }
}

/// A server and what stands between it and the world.
struct Member {
    edges: Edges,
    program: Mutex<Option<Program>>,
}

struct Edges {
    /// Of a world on PostgreSQL.
    database: Option<Proxy>,
    nats: Option<Proxy>,
    clients: Proxy,
}

impl Edges {
    async fn of(world: &World, nats: Option<&str>) -> Self {
        let database = match world.database_url() {
            Some(url) => Some(Proxy::before(socket(&url)).await),
            None => None,
        };
        let nats = match nats {
            Some(url) => Some(Proxy::before(socket(url)).await),
            None => None,
        };
        Self {
            database,
            nats,
            clients: Proxy::before(SocketAddr::from(([127, 0, 0, 1], 9))).await,
        }
    }

    fn all(&self) -> Vec<&Proxy> {
        let inner = self.database.iter().chain(&self.nats);
        inner.chain([&self.clients]).collect()
    }

    /// The server whose ways to everything are these, of another build where one is named.
    fn command(&self, world: &World, program: Option<&OsStr>) -> Command {
        let mut command = match program {
            Some(program) => world.command_of(program),
            None => world.command(),
        };
        if let (Some(url), Some(proxy)) = (world.database_url(), &self.database) {
            command.env("RUNYARD_DATABASE_URL", through(&url, proxy));
        }
        if let Some(proxy) = &self.nats {
            command.env("RUNYARD_NATS", format!("nats://{}", proxy.address));
        }
        command
    }
}

impl<'a> Fleet<'a> {
    /// Starts so many servers; on a file there can be one.
    pub async fn start(world: &'a World, servers: usize, nats: Option<&str>, seed: u64) -> Self {
        Self::upgrading(world, servers, nats, seed, None).await
    }

    /// Starts so many servers, all but the last of an older build. One that is killed comes back as the world's own: an
    /// upgrade that rolls over them, in the midst of everything.
    pub async fn upgrading(
        world: &'a World,
        servers: usize,
        nats: Option<&str>,
        seed: u64,
        older: Option<&OsStr>,
    ) -> Self {
        let mut members = Vec::new();
        for number in 1..=servers {
            let edges = Edges::of(world, nats).await;
            let program = older.filter(|_| number < servers || servers == 1);
            let started = Program::start(edges.command(world, program)).await.ready();
            edges.clients.lead_to(started.address);
            members.push(Member {
                edges,
                program: Mutex::new(Some(started)),
            });
        }
        Self {
            world,
            members,
            dice: Dice::new(seed),
            kills: AtomicU64::default(),
            stops: AtomicU64::default(),
            cuts: AtomicU64::default(),
        }
    }

    pub fn world(&self) -> &'a World {
        self.world
    }

    /// Where clients find a server; which one is left to the dice.
    pub fn any(&self) -> SocketAddr {
        self.dice.pick(&self.members).edges.clients.address
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        let members = self.members.iter();
        members.map(|member| member.edges.clients.address).collect()
    }

    pub fn blows(&self) -> Blows {
        Blows {
            kills: self.kills.load(Ordering::Relaxed),
            stops: self.stops.load(Ordering::Relaxed),
            cuts: self.cuts.load(Ordering::Relaxed),
        }
    }

    /// One blow, and its undoing.
    pub async fn strike(&self) {
        let member = self.dice.pick(&self.members);
        match self.dice.roll(6) {
            0 => self.kill(member).await,
            1 => self.stop(member).await,
            _ => {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                let mut edges = member.edges.all();
                edges.extend([&self.world.model_edge, &self.world.ledger_edge]);
                self.world.edges_fail.store(true, Ordering::Relaxed);
                let edge = *self.dice.pick(&edges);
                edge.fail(*self.dice.pick(&FAULTS), CUT_OFF).await;
            }
        }
    }

    async fn kill(&self, member: &Member) {
        let mut place = member.program.lock().await;
        let program = place.take().expect("nobody else has it");
        self.kills.fetch_add(1, Ordering::Relaxed);
        program.kill().await;
        tokio::time::sleep(Duration::from_millis(self.dice.roll(800))).await;
        let program = self.again(&member.edges).await;
        member.edges.clients.lead_to(program.address);
        *place = Some(program);
    }

    async fn stop(&self, member: &Member) {
        let place = member.program.lock().await;
        let program = place.as_ref().expect("it is put back after each blow");
        self.stops.fetch_add(1, Ordering::Relaxed);
        program.stop().await;
        tokio::time::sleep(STOPPED).await;
        program.go_on().await;
    }

    /// Starts a server as a supervisor does: again and again while it ends, which it does where it finds no database.
    async fn again(&self, edges: &Edges) -> Program {
        let begun = Instant::now();
        loop {
            match Program::start(edges.command(self.world, None)).await {
                Start::Ready(program) => return *program,
                Start::Ended(status, said) => assert!(
                    begun.elapsed() < ENDURANCE,
                    "no start succeeds, {status}:\n{said}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Where the service at an address listens.
pub fn socket(url: &str) -> SocketAddr {
    let url = Url::parse(url).expect("an address");
    let port = match url.scheme() {
        "nats" => 4222,
        _ => 5432,
    };
    let addresses = url.socket_addrs(|| Some(port));
    addresses.expect("a host that has an address")[0]
}

/// The same address at the proxy.
pub fn through(url: &str, proxy: &Proxy) -> String {
    let mut url = Url::parse(url).expect("an address");
    url.set_ip_host(proxy.address.ip()).expect("it has a host");
    url.set_port(Some(proxy.address.port()))
        .expect("it has a port");
    url.to_string()
}
