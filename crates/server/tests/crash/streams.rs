//! Streams byte by byte: cut, rejoined, watched by several, stalled, and across the death of the server.

use crate::database::Database;
use proof::clients::{BASE, Client, RECOVERY};
use proof::cuts::{begin, read_in_pieces, rejoin, run_of, talker};
use proof::dice::Dice;
use proof::frames::{Frame, joined};
use proof::http::{Ask, KEY};
use proof::kinds::Kind;
use scripted::{Script, reply};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Makes a test of each function, on each store.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::database::Database::Sqlite);
                proof::limit::within(proof::limit::LIMIT, test).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::database::Database::Postgres);
                proof::limit::within(proof::limit::LIMIT, test).await;
            })*
        }
    };
}

on_both_stores!(
    stream_cut_anywhere_is_rejoined_to_the_same_bytes,
    killed_server_finishes_the_run_and_its_readers_are_told_what_is_void,
    text_of_a_model_cannot_forge_a_frame,
    reader_that_stops_reading_costs_little_and_holds_up_nothing,
    client_that_goes_away_cancels_only_where_it_said_so,
);

async fn stream_cut_anywhere_is_rejoined_to_the_same_bytes(database: Database) {
    let world = database.world_with(talker()).await;
    let server = world.start().await;
    let address = server.address;
    let live = begin(address, &json!({})).await.expect("it begins");
    let run = run_of(&live);
    let uncut = tokio::spawn(live.all());
    let during: Vec<_> = (1..=20)
        .map(|number| {
            let run = run.clone();
            let reading =
                async move { read_in_pieces(&[address], &run, &Dice::new(number), 5).await };
            tokio::spawn(reading)
        })
        .collect();
    let uncut = uncut
        .await
        .expect("no panic")
        .expect("it is read to its end");
    assert_eq!(uncut.len(), 300 + 7, "{:?}", uncut.last());
    let whole = joined(&uncut);
    let mut cuts = 0;
    for reading in during {
        let (frames, times) = reading
            .await
            .expect("no panic")
            .expect("it is read to its end");
        assert!(
            joined(&frames) == whole,
            "cut while live, the stream is another"
        );
        cuts += times;
    }
    let dice = Dice::new(77);
    while cuts < 200 {
        let (frames, times) = read_in_pieces(&[address], &run, &dice, 10)
            .await
            .expect("it is read to its end");
        assert!(
            joined(&frames) == whole,
            "cut afterwards, the stream is another"
        );
        cuts += times;
    }
    server.kill().await;
    let server = world.start().await;
    let again = rejoin(server.address, &run, 0).await.expect("it is there");
    let again = again.all().await.expect("it is read to its end");
    assert!(
        joined(&again) == whole,
        "after a kill, the stream is another"
    );
}

async fn killed_server_finishes_the_run_and_its_readers_are_told_what_is_void(database: Database) {
    let world = database.world().await;
    let server = world.start().await;
    let mut clients: Vec<Client> = (0..10)
        .map(|number| Client::new(Kind::Held, format!("speaker-{number}")))
        .collect();
    for client in &mut clients {
        let live = client.begin(server.address).await.expect("it begins");
        client.watch_until_it_speaks(live).await.expect("it speaks");
    }
    server.kill().await;
    world.open();
    let killed = Instant::now();
    let server = world.start().await;
    for client in &mut clients {
        let dead: Vec<Frame> = client.seen[0]
            .iter()
            .filter(|frame| frame.is_delta())
            .cloned()
            .collect();
        let run = client.run.clone().expect("it was told");
        let mut live = rejoin(server.address, &run, dead[0].seq)
            .await
            .expect("it is there");
        let first = live.frame().await.expect("it goes on").expect("it goes on");
        assert_eq!(first.event, "turn_restarted", "{first:?}");
        assert_eq!(first.text("message_id"), dead[0].text("message_id"));
        let rest = live.all().await.expect("it is read to its end");
        assert!(killed.elapsed() < RECOVERY, "{:?}", killed.elapsed());
        let text: String = rest.iter().map(|frame| frame.text("delta")).collect();
        assert_eq!(text, format!("wait for {} at last", client.tag));
        // Whichever of the dead turn's events was the last that came, what follows is the same.
        let restarted = [vec![first], rest].concat();
        for frame in &dead {
            let live = rejoin(server.address, &run, frame.seq)
                .await
                .expect("it is there");
            let again = live.all().await.expect("it is read to its end");
            assert!(joined(&again) == joined(&restarted));
        }
        let finished = client.finish(&world, server.address).await;
        let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(finished.history.violations(), []);
        assert_eq!(finished.history.restarts(), 1);
    }
}

async fn text_of_a_model_cannot_forge_a_frame(database: Database) {
    let evil = [
        "x\n\ndata: forged\n\n",
        "id: 1\nevent: done\ndata: {\"type\":\"done\",\"seq\":1}\n\n",
        "\r\revent: done\r\n\r\n: keep-alive\n",
        "\u{2028}\u{2029}\u{85}\u{0b}\u{0c}retry: 0\n\n",
        "\u{feff}data:",
    ];
    let said = reply().reasoning(evil[0]).text_tokens(evil).build();
    let world = database.world_with(Script::always(said)).await;
    let server = world.start().await;
    let live = begin(server.address, &json!({})).await.expect("it begins");
    let run = run_of(&live);
    let mut other = rejoin(server.address, &run, 0).await.expect("it is there");
    // The reader takes nothing but well-formed frames.
    let frames = live.all().await.expect("every frame is well formed");
    let text: String = frames
        .iter()
        .filter(|frame| frame.event == "message_delta")
        .map(|frame| frame.text("delta"))
        .collect();
    assert_eq!(text, evil.concat());
    assert_eq!(
        frames.iter().filter(|frame| frame.event == "done").count(),
        1
    );
    let mut seen = Vec::new();
    while let Some(frame) = other.frame().await.expect("every frame is well formed") {
        seen.push(frame);
    }
    assert!(
        joined(&seen) == joined(&frames),
        "two watchers, two streams"
    );
}

/// A connection that reads its head and then nothing, with little room for what comes.
async fn stalled(address: SocketAddr, run: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a smaller buffer");
    let mut stream = socket.connect(address).await.expect("it answers");
    let ask = format!(
        "GET {BASE}/runs/{run}/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.expect("it listens");
    stream.read_u8().await.expect("the answer begins");
    stream
}

async fn reader_that_stops_reading_costs_little_and_holds_up_nothing(database: Database) {
    const READERS: usize = 200;
    let token = "x".repeat(500);
    let world = database
        .world()
        .await
        .set(&[("RUNYARD_LIMIT_SEND_TIMEOUT_S", "2")]);
    let server = world.start().await;
    let (mut alone, mut watched) = (0, Vec::new());
    // The first ones show what runs of this size cost by themselves.
    for (gate, readers) in [("a", 0), ("b", 0), ("c", 0), ("d", READERS)] {
        let said = reply()
            .text("a")
            .hold(gate)
            .flood(&token, Some(8000))
            .build();
        world.model.play(Script::always(said));
        let live = begin(server.address, &json!({})).await.expect("it begins");
        let run = run_of(&live);
        let mut stalling = Vec::new();
        for _ in 0..readers {
            stalling.push(stalled(server.address, &run).await);
        }
        let begun = Instant::now();
        world.model.open_gate(gate);
        let frames = live.all().await.expect("it is read to its end");
        let took = begun.elapsed();
        // Waiting for each of them would take 400 s.
        assert!(took < Duration::from_secs(120), "{took:?}");
        if readers == 0 {
            alone = alone.max(server.memory_kb() / 1024);
        } else {
            watched.push(server.memory_kb() / 1024);
            // Those who come late find the whole run in the store.
            for _ in 0..readers {
                stalling.push(stalled(server.address, &run).await);
            }
            watched.push(server.memory_kb() / 1024);
        }
        assert_eq!(
            frames.last().map(|last| last.text("status")),
            Some("completed")
        );
        let again = rejoin(server.address, &run, 0).await.expect("it is there");
        let again = again.all().await.expect("it is read to its end");
        assert!(joined(&again) == joined(&frames));
    }
    // The run's own text is 4 MB; a copy for each reader would be 800. What lies between is the allocator's, which keeps
    // what passes through it.
    assert!(
        watched.iter().all(|used| *used < alone + 200),
        "{READERS} stalled readers: {alone} MB without, {watched:?} MB with them"
    );
}

async fn client_that_goes_away_cancels_only_where_it_said_so(database: Database) {
    let world = database.world().await;
    let server = world.start().await;
    let address = server.address;
    for (wish, expected) in [("cancel", "cancelled"), ("continue", "completed")] {
        let input = json!({ "input": "hold on", "on_disconnect": wish });
        let mut live = begin(address, &input).await.expect("it begins");
        let run = run_of(&live);
        while live
            .frame()
            .await
            .expect("it goes on")
            .is_some_and(|frame| !frame.is_delta())
        {}
        drop(live);
        let rest = rejoin(address, &run, 0).await.expect("it is there");
        if wish == "continue" {
            // Nothing came of the going: the run is where it was.
            let shown = Ask::get(format!("{BASE}/runs/{run}")).send(address).await;
            assert_eq!(shown.expect("it is there").body["status"], "running");
            world.open();
        }
        let frames = rest.all().await.expect("it is read to its end");
        assert_eq!(
            frames.last().map(|last| last.text("status")),
            Some(expected),
            "{wish}"
        );
    }
}
