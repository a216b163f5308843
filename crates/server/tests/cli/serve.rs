//! Starts that must be refused, and say why.

use crate::program::{Home, PATIENCE, Serving, tls};
use scripted::Server as Model;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn ready_server_says_so_and_leaves_its_address() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    assert_eq!(server.get("/readyz", "").await.0, 200);
    let note = home.data().join("server.json");
    let written = std::fs::read_to_string(&note).unwrap();
    assert!(written.contains(&server.url), "{written}");
    let said = server.stop();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!note.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_are_cleared_away_and_their_messages_stay() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("RUNYARD_LIMIT_UPKEEP_S", "1")
        .env("RUNYARD_LIMIT_RUNS_KEPT_S", "1");
    let server = Serving::start(command);
    let said = home.run(&["run", "echo", "hello"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let key = home.owner_key();
    let count = async |what: &str| {
        let path = format!("/api/v1/agents/{what}");
        let (status, body) = server.get(&path, &key).await;
        assert_eq!(status, 200, "{body}");
        let name = what.rsplit('/').next().unwrap();
        body[name].as_array().unwrap().len()
    };
    let (_, threads) = server.get("/api/v1/agents/threads", &key).await;
    let thread = threads["threads"][0]["id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    while count("runs").await > 0 {
        assert!(Instant::now() < deadline, "old runs stay");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, thread) = server
        .get(&format!("/api/v1/agents/threads/{thread}"), &key)
        .await;
    assert_eq!(thread["messages"].as_array().map(Vec::len), Some(2));
    server.stop();
}

#[test]
fn taken_port_is_named_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new();
    let said = home.run(&["serve", "--listen", &address.to_string()]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains(&format!("port {} is taken", address.port())),
        "{said:?}"
    );
    assert!(said.err.contains("--listen 127.0.0.1:PORT"), "{said:?}");
    // The owner's key was not made for a server that did not start.
    assert!(!home.data().join("owner.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_on_one_folder_is_refused() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let said = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("is being served by another process"),
        "{said:?}"
    );
    assert!(said.err.contains("--data DIR"), "{said:?}");
    assert_eq!(server.get("/readyz", "").await.0, 200);
}

#[test]
fn folder_that_cannot_be_written_is_named() {
    let home = Home::new();
    home.write("file", "in the way");
    let said = home.run(&["serve", "--listen", "127.0.0.1:0", "--data", "file/data"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("file/data cannot be written"), "{said:?}");
    assert!(said.err.contains("what to do: "), "{said:?}");
    assert!(!said.err.contains("panicked"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_start_where_others_can_reach_it_needs_a_chosen_key() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let said = home.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("RUNYARD_OWNER_KEY"), "{said:?}");

    let mut command = home.command(&["serve", "--listen", "0.0.0.0:0"]);
    command.env("RUNYARD_OWNER_KEY", "chosen-by-me-and-long-enough");
    let server = Serving::start(command);
    assert_eq!(server.get("/readyz", "").await.0, 200);
    server.stop();
    // Now there is an owner.
    let server = Serving::start(home.command(&["serve", "--listen", "0.0.0.0:0"]));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn newcomer_gets_sample_agents_once() {
    let home = Home::new();
    let server = home.serve(&[]);
    let said = server.stop();
    assert!(
        said.out.contains("deployment_advisor, field_guide"),
        "{said:?}"
    );
    let folder = home.data().join("agents");
    std::fs::remove_file(folder.join("field_guide.md")).unwrap();
    let said = home.serve(&[]).stop();
    assert!(
        said.out.contains("deployment_advisor") && !said.out.contains("field_guide"),
        "{said:?}"
    );
}
