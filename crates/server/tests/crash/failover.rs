//! PostgreSQL with a synchronous standby: the primary is killed in the middle of everything, the standby is promoted, and what
//! was acknowledged is there. `RUNYARD_FAILOVERS` says how often, one after the other.

use crate::database::Database;
use proof::clients::Client;
use proof::judge::{Verdict, judge};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::proxy::Proxy;
use proof::world::{QUICK, World};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ENDURANCE: Duration = Duration::from_secs(60);

/// One PostgreSQL of its own, in a folder of its own. It dies with this value.
struct Cluster {
    folder: TempDir,
    port: u16,
}

/// Where Debian keeps the server's programs, which are not on the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let debian = versions
        .map(|version| version.path().join("bin").join(name))
        .find(|path| path.exists());
    debian.unwrap_or_else(|| PathBuf::from(name))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// PostgreSQL does not run as root, so root runs it as `postgres`.
fn run(name: &str, arguments: &[&str]) {
    let as_root = is_root();
    let mut command = if as_root {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ])
            .arg(program(name));
        command
    } else {
        Command::new(program(name))
    };
    let ended = command
        .args(arguments)
        .env_remove("PGOPTIONS")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| {
            panic!("{name} cannot be run ({error}); apt-get install postgresql")
        });
    assert!(ended.success(), "{name} {arguments:?}: {ended}");
}

impl Cluster {
    fn place() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            let user = std::fs::read_to_string("/etc/passwd").expect("users");
            let line = user
                .lines()
                .find(|line| line.starts_with("postgres:"))
                .expect("the user postgres");
            let id = line.split(':').nth(2).and_then(|id| id.parse().ok());
            chown(folder.path(), id, id).expect("root may");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        Self { folder, port }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    fn primary() -> Self {
        let cluster = Self::place();
        let data = cluster.data().display().to_string();
        run(
            "initdb",
            &["-D", &data, "-U", "postgres", "-A", "trust", "--no-sync"],
        );
        cluster.settle("");
        cluster.start();
        cluster
    }

    /// A copy that follows, and that every commit waits for from now on.
    async fn standby_of(primary: &Self) -> Self {
        let cluster = Self::place();
        let data = cluster.data().display().to_string();
        let from = format!(
            "host=127.0.0.1 port={} user=postgres application_name=standby",
            primary.port
        );
        run(
            "pg_basebackup",
            &[
                "-D",
                &data,
                "-d",
                &from,
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
            ],
        );
        cluster.settle("");
        cluster.start();
        primary
            .say("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            .await;
        primary.say("SELECT pg_reload_conf()").await;
        let until = Instant::now() + ENDURANCE;
        let follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while primary.count(follows).await == 0 {
            assert!(Instant::now() < until, "the standby does not follow");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cluster
    }

    /// Its own settings, after whatever it was copied with.
    fn settle(&self, standbys: &str) {
        let path = self.data().join("postgresql.auto.conf");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let own = format!(
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nsynchronous_standby_names = '{standbys}'\n\
             hot_standby = on\nmax_connections = 100\n",
            self.port,
            self.folder.path().display()
        );
        std::fs::write(&path, before + &own).expect("the folder is ours");
    }

    fn start(&self) {
        let log = self.folder.path().join("log").display().to_string();
        self.control(&["-w", "-l", &log, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.data().display().to_string();
        run("pg_ctl", &[&["-D", &data, "-s"], arguments].concat());
    }

    /// Ends it as a crash does: nothing is written any more, no session is ended in order.
    fn kill(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    fn promote(&self) {
        self.control(&["-w", "promote"]);
    }

    async fn say(&self, sql: &str) {
        self.count(sql).await;
    }

    /// The first number of an answer, if there is one.
    async fn count(&self, sql: &str) -> i64 {
        let connected = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("it answers");
        let talking = tokio::spawn(connection);
        let rows = client
            .simple_query(sql)
            .await
            .expect("it does as it is told");
        let number = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        drop(client);
        let _ = talking.await;
        number.unwrap_or(0)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if Path::new(&self.data().join("postmaster.pid")).exists() {
            self.kill();
        }
    }
}

async fn endure(world: &World, program: &Program, kind: Kind, tag: String) -> Vec<Client> {
    let mut client = Client::new(kind, tag);
    let begun = Instant::now();
    loop {
        let acting = client.act(world, program.address);
        let failed = match tokio::time::timeout(Duration::from_secs(10), acting).await {
            Ok(Ok(())) => return client.apart(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if begun.elapsed() > ENDURANCE {
            let stuck = client.stuck(program.address).await;
            panic!(
                "still {failed}: {stuck}
the server says:
{}",
                program.said()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn failovers(count: u32) -> (usize, Vec<String>) {
    let world = Database::Postgres.world().await.set(&QUICK);
    let mut primary = Cluster::primary();
    let way = Proxy::before(primary.address()).await;
    let mut command = world.command();
    command.env(
        "RUNYARD_DATABASE_URL",
        format!("postgres://postgres@{}/postgres", way.address),
    );
    let program = Program::start(command).await.ready();
    world.open();
    let (mut runs, mut complaints) = (0, Vec::new());
    for round in 0..count {
        let standby = Cluster::standby_of(&primary).await;
        let kinds = Kind::LAP.iter().copied().enumerate();
        let coming = futures::future::join_all(kinds.map(|(index, kind)| {
            let tag = format!("failover-{round}-{kind:?}").to_lowercase();
            let (world, program) = (&world, &program);
            async move {
                // Some are over, some under way, some come later.
                tokio::time::sleep(Duration::from_millis(40 * index as u64)).await;
                endure(world, program, kind, tag).await
            }
        }));
        let failing = async {
            tokio::time::sleep(Duration::from_millis(100 + u64::from(round * 37 % 300))).await;
            tokio::task::block_in_place(|| {
                primary.kill();
                standby.promote();
            });
            way.lead_to(standby.address());
        };
        let (clients, ()) = tokio::join!(coming, failing);
        let mut verdict = Verdict::default();
        judge(
            &world,
            program.address,
            clients.into_iter().flatten().collect(),
            &mut verdict,
        )
        .await;
        runs += verdict.runs;
        complaints.extend(
            verdict
                .complaints
                .iter()
                .map(|it| format!("round {round}: {it}")),
        );
        primary = standby;
    }
    (runs, complaints)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_primary() {
    let count = crate::number("RUNYARD_FAILOVERS").unwrap_or(1);
    let (runs, complaints) = within(LIMIT * count.max(1), failovers(count)).await;
    println!(
        "failover: {count} primaries killed, {runs} runs, {} violations",
        complaints.len()
    );
    assert!(complaints.is_empty(), "{complaints:#?}");
}
