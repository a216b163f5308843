//! Over real sockets: what the accept loop and the HTTP library do before any route is asked.

use crate::scratch::Database;
use crate::world::{ACME, World, run_with};
use domain::key::Role;
use scripted::{Script, reply};
use serde_json::json;
use server::app::HttpSettings;
use server::listen;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

fn quick() -> HttpSettings {
    HttpSettings {
        header_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(20),
        connections_max: 8,
        ..HttpSettings::default()
    }
}

async fn listening(world: &World) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (
        address,
        tokio::spawn(listen::serve(listener, world.app.clone())),
    )
}

/// Everything that comes back until the server closes.
async fn exchange(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(sent).await.expect("it reads");
    let mut came = Vec::new();
    // A reset after an answer is an end too.
    let _ = stream.read_to_end(&mut came).await;
    String::from_utf8_lossy(&came).into_owned()
}

#[test]
fn silent_and_slow_connections_are_closed() {
    run_with(Database::Sqlite, quick(), async |world: Arc<World>| {
        let (address, _) = listening(&world).await;
        let begun = Instant::now();
        for sent in [
            &b""[..],
            b"P",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\nHost: loc",
        ] {
            let came = exchange(address, sent).await;
            assert!(
                came.is_empty() || came.starts_with("HTTP/1.1 408"),
                "{came}"
            );
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn raw_requests_are_answered_or_refused() {
    run_with(Database::Sqlite, quick(), async |world: Arc<World>| {
        let (address, _) = listening(&world).await;
        for (sent, status) in [
            (
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                "200",
            ),
            ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
            (
                "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
                "400",
            ),
            (
                "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
                "403",
            ),
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
                "400",
            ),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let came = exchange(address, sent.as_bytes()).await;
            assert!(
                came.starts_with(&format!("HTTP/1.1 {status}")),
                "{sent:?}: {came}"
            );
        }
        let both = "POST /api/v1/agents/threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
                    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
        let came = exchange(address, both.as_bytes()).await;
        assert!(came.starts_with("HTTP/1.1 4"), "{came}");
    });
}

#[test]
fn stream_goes_over_a_socket_and_the_server_ends_in_good_order() {
    run_with(Database::Sqlite, quick(), async |world: Arc<World>| {
        let (address, served) = listening(&world).await;
        let secret = world.secret(ACME, Role::Owner).await;
        world.hold();
        let thread = world.thread("helper").await;
        let body = r#"{"input":"hi","on_disconnect":"cancel"}"#;
        let request = format!(
            "POST /api/v1/agents/threads/{thread}/runs HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut came = Vec::new();
        while !String::from_utf8_lossy(&came).contains("event: message_delta") {
            assert_ne!(stream.read_buf(&mut came).await.expect("it answers"), 0);
        }
        let head = String::from_utf8_lossy(&came).into_owned();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("content-type: text/event-stream\r\n"),
            "{head}"
        );
        // The client goes away in the middle: the run was told to end with it.
        drop(stream);
        let runs =
            async || world.get("/api/v1/agents/runs").await.ok()["runs"][0]["status"].clone();
        while runs().await != "cancelled" {
            tokio::task::yield_now().await;
        }
        world.stop.cancel();
        served.await.expect("no panic");
        assert!(
            TcpStream::connect(address).await.is_err(),
            "nobody listens any more"
        );
    });
}

#[test]
fn second_version_of_the_protocol_is_spoken() {
    run_with(Database::Sqlite, quick(), async |world: Arc<World>| {
        let (address, _) = listening(&world).await;
        let client = reqwest::Client::builder().http2_prior_knowledge().build();
        let client = client.expect("a client");
        let asks = (0..20).map(|_| client.get(format!("http://{address}/healthz")).send());
        for answer in futures::future::join_all(asks).await {
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        }
        let secret = world.secret(ACME, Role::Owner).await;
        let thread = world.thread("helper").await;
        let url = format!("http://{address}/api/v1/agents/threads/{thread}/runs");
        let ask = client
            .post(url)
            .bearer_auth(&secret)
            .json(&json!({"input": "hi"}));
        let text = ask
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a whole stream");
        let frames = crate::client::frames(text.as_bytes());
        assert_eq!(frames.last().expect("events").event, "done");
    });
}

/// More than all buffers between the two ends hold.
const FLOOD: u64 = 120_000;

/// Starts a run whose events are many, over a socket that nobody reads for now.
async fn flooded(world: &World, address: SocketAddr) -> TcpStream {
    let flood = reply()
        .flood("0123456789012345678901234567890123456789", Some(FLOOD))
        .build();
    world.model.play(Script::always(flood));
    let secret = world.secret(ACME, Role::Owner).await;
    let thread = world.thread("helper").await;
    let body = r#"{"input":"hi"}"#;
    let request = format!(
        "POST /api/v1/agents/threads/{thread}/runs HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {secret}\r\n\
         Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("it listens");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    while world.get("/api/v1/agents/runs").await.ok()["runs"][0]["status"] != "completed" {
        tokio::task::yield_now().await;
    }
    stream
}

#[test]
fn slow_reader_does_not_hold_up_its_run() {
    let settings = HttpSettings {
        // However long the run takes on a busy machine, its reader is slow and not gone.
        send_timeout: Duration::from_secs(300),
        ..quick()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let (address, _) = listening(&world).await;
        let mut stream = flooded(&world, address).await;
        let mut came = Vec::new();
        stream
            .read_to_end(&mut came)
            .await
            .expect("the rest is still there");
        let text = String::from_utf8_lossy(&came);
        let deltas = text.matches("event: message_delta\n").count();
        assert_eq!(
            (deltas as u64, text.matches("event: done\n").count()),
            (FLOOD, 1)
        );
    });
}

#[test]
fn reader_that_reads_nothing_is_cut_off() {
    let settings = HttpSettings {
        send_timeout: Duration::from_secs(1),
        ..quick()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let (address, served) = listening(&world).await;
        let stream = flooded(&world, address).await;
        // Only a connection that was cut lets the server end before its drain is over.
        world.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(15), served).await;
        ended.expect("nothing holds the server").expect("no panic");
        drop(stream);
    });
}

#[test]
fn connections_past_the_limit_wait_their_turn() {
    run_with(Database::Sqlite, quick(), async |world: Arc<World>| {
        let (address, _) = listening(&world).await;
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(TcpStream::connect(address).await.expect("it listens"));
        }
        // The idle ones are closed for their silence, and then it is this one's turn.
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let came = exchange(address, request).await;
        assert!(came.starts_with("HTTP/1.1 200"), "{came}");
    });
}
