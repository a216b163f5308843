//! A disk without space: what cannot be written is refused in plain words, what was acknowledged stays, and the server
//! heals by itself when space returns.

use crate::database::Database;
use proof::clients::Client;
use proof::http::{Answer, Ask};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::Program;
use proof::world::World;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const BASE: &str = "/api/v1/agents";

/// Bytes of a thread's metadata, near to what is allowed.
const PADDING: usize = 16_000;

/// A small file system of its own over a folder, gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn over(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }

    /// Takes all that is left. Remove the file to give it back.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a file needs no space yet");
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nobody can be told if it fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn make_thread(address: SocketAddr, padding: usize) -> Answer {
    let body = json!({ "agent_type": "worker", "metadata": { "padding": "x".repeat(padding) } });
    let answer = Ask::post(format!("{BASE}/threads"), &body)
        .send(address)
        .await;
    answer.expect("a server without space still answers")
}

/// Makes threads until one is refused. Those that were acknowledged, and the refusal.
async fn make_threads_until_refused(address: SocketAddr) -> (Vec<String>, Answer) {
    let mut made = Vec::new();
    loop {
        let answer = make_thread(address, PADDING).await;
        if answer.status != 200 {
            return (made, answer);
        }
        made.push(answer.body["id"].as_str().expect("it has an id").to_owned());
        assert!(made.len() < 10_000, "there is always more space");
    }
}

fn assert_clear(refusal: &Answer) {
    assert_eq!(refusal.status, 503, "{:?}", refusal.body);
    let code = refusal.body["code"].as_str().unwrap_or_default();
    assert!(
        ["storage_full", "store_unavailable"].contains(&code),
        "{:?}",
        refusal.body
    );
    assert_eq!(refusal.body["retryable"], true, "{:?}", refusal.body);
}

async fn assert_there(address: SocketAddr, threads: &[String]) {
    for id in threads {
        let thread = Ask::get(format!("{BASE}/threads/{id}")).send(address).await;
        assert_eq!(thread.expect("it answers").status, 200, "{id} is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_told_plainly_loses_nothing_and_heals() {
    within(LIMIT, async {
        let world = Database::Sqlite.world().await;
        match SmallDisk::over(&world.data()) {
            Some(disk) => on_small_disk(&world, &disk).await,
            None => with_small_files(&world).await,
        }
    })
    .await;
}

async fn on_small_disk(world: &World, disk: &SmallDisk) {
    let server = world.start().await;
    let address = server.address;
    let mut held = Client::new(Kind::Held, "through-it-all".to_owned());
    let live = held.begin(address).await.expect("it begins");
    held.watch_until_it_speaks(live).await.expect("it speaks");
    let (mut made, refusal) = make_threads_until_refused(address).await;
    assert_clear(&refusal);
    let ballast = disk.fill();
    assert_clear(&make_thread(address, PADDING).await);
    // Reading needs no space.
    assert_there(address, &made).await;
    // The run's end cannot be written now; it waits for space.
    world.open();
    let shown = Ask::get(format!(
        "{BASE}/runs/{}",
        held.run.as_deref().unwrap_or_default()
    ));
    assert_eq!(shown.send(address).await.expect("it answers").status, 200);
    std::fs::remove_file(ballast).expect("it is there");
    heal(world, disk, server, &mut made, &mut held).await;
}

/// The ballast is gone, but the server's own files fill the disk: a bigger disk comes in the place of the small one.
async fn heal(
    world: &World,
    disk: &SmallDisk,
    server: Program,
    made: &mut Vec<String>,
    held: &mut Client,
) {
    let grown = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(&disk.0)
        .status();
    assert!(grown.expect("there is a mount command").success());
    let begun = Instant::now();
    let address = server.address;
    loop {
        let answer = make_thread(address, 10).await;
        if answer.status == 200 {
            made.push(answer.body["id"].as_str().expect("it has an id").to_owned());
            break;
        }
        assert_clear(&answer);
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it does not heal: {:?}",
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    finish(world, address, held).await;
    assert_there(address, made).await;
    server.kill().await;
    let server = world.start().await;
    assert_there(server.address, made).await;
    finish(world, server.address, held).await;
    // The file system goes before its folder does.
    server.kill().await;
}

async fn finish(world: &World, address: SocketAddr, client: &mut Client) {
    let finished = client.finish(world, address).await;
    let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(finished.history.violations(), []);
}

/// Where nothing may be mounted: no file may grow past a limit, and space returns with the next start.
async fn with_small_files(world: &World) {
    // Without the trap, the system would end the process instead of refusing the write.
    let limited = world.shell(r#"trap "" XFSZ; ulimit -f 4096; exec "$0" "$@""#);
    let server = Program::start(limited).await.ready();
    let (mut made, refusal) = make_threads_until_refused(server.address).await;
    assert_clear(&refusal);
    assert_there(server.address, &made).await;
    server.kill().await;
    let server = world.start().await;
    let answer = make_thread(server.address, 10).await;
    assert_eq!(answer.status, 200);
    made.push(answer.body["id"].as_str().expect("it has an id").to_owned());
    assert_there(server.address, &made).await;
}
