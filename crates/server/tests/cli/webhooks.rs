//! Messages to other systems, from a real server to a real receiver.

use crate::approvals::{clerk, serve_clerk};
use crate::program::{Home, PATIENCE, Running, Said};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// 32 bytes of base64.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A message that came, its signature good.
#[derive(Debug)]
struct Came {
    id: String,
    body: Value,
}

#[derive(Clone)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<u16>>>,
    came: mpsc::UnboundedSender<Came>,
}

/// Answers with these statuses, then always with 204; 0 answers never. Returns its address.
async fn receive(answers: &[u16]) -> (String, mpsc::UnboundedReceiver<Came>) {
    let (came, coming) = mpsc::unbounded_channel();
    let receiver = Receiver {
        answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        came,
    };
    let app = Router::new()
        .route("/hook", post(take))
        .with_state(receiver);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address.to_string(), coming)
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
    verifier.verify(&body, &headers).expect("a good signature");
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let body = serde_json::from_slice(&body).unwrap();
    let answer = receiver.answers.lock().unwrap().pop_front();
    let _ = receiver.came.send(Came { id, body });
    match answer {
        Some(0) => std::future::pending().await,
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => StatusCode::NO_CONTENT,
    }
}

fn hooked(home: &Home, address: &str, guarded: bool) {
    let mut config = std::fs::read_to_string(home.path().join("runyard.toml")).unwrap();
    config.push_str(&format!(
        "\n[[webhooks]]\nname = \"desk\"\nurl = \"http://{address}/hook\"\nsecret_env = \"HOOK_SECRET\"\n"
    ));
    if !guarded {
        config.push_str(&format!("\n[egress]\nallow_private = [\"{address}\"]\n"));
    }
    home.write("runyard.toml", &config);
}

/// The next message, which must come in time.
async fn next(coming: &mut mpsc::UnboundedReceiver<Came>) -> Came {
    let came = timeout(PATIENCE, coming.recv()).await;
    came.expect("no message came in time")
        .expect("the receiver lives")
}

/// The first message listed of which this is true, once there is one.
fn listed_once(home: &Home, is: impl Fn(&Value) -> bool) -> Value {
    let list = ["webhooks", "list", "--json"];
    let found = |said: &Said| {
        assert_eq!(said.code, Some(0), "{said:?}");
        let lines = said.out.lines();
        let mut messages = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        messages.find(&is)
    };
    let said = home.run_until(&list, |said| found(said).is_some());
    found(&said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_signed_and_in_order() {
    let (address, mut coming) = receive(&[410]).await;
    let (home, _model) = clerk("first").await;
    hooked(&home, &address, false);
    let _server = serve_clerk(&home, SECRET);
    let mut run = Running::start(home.command(&["run", "clerk", "note it", "--json"]));
    run.out.until("\"approval_requested\"").unwrap();
    let asked = next(&mut coming).await;
    let data = &asked.body["data"];
    assert_eq!(asked.body["type"], "approval.requested");
    assert_eq!(
        (&data["tool_name"], &data["arguments"]),
        (&"note".into(), &Value::Null)
    );
    let id = data["approval_id"].as_str().unwrap();
    home.run(&["approvals", "approve", id]);
    assert_eq!(run.end().code, Some(0));
    let mut rest = [next(&mut coming).await, next(&mut coming).await];
    rest.sort_by(|a, b| a.id.cmp(&b.id));
    let types: Vec<&Value> = rest.iter().map(|came| &came.body["type"]).collect();
    assert_eq!(types, ["approval.resolved", "run.completed"]);
    assert!(asked.id < rest[0].id, "ids rise");

    // The receiver wanted no more of the first: it is dead until somebody replays it.
    let dead = listed_once(&home, |message| message["state"] == "dead");
    assert_eq!(dead["last_error"], "status 410");
    let replayed = home.run(&["webhooks", "replay", dead["id"].as_str().unwrap()]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let again = next(&mut coming).await;
    assert_eq!((again.id, again.body), (asked.id, asked.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_survives_the_servers_death_in_the_middle() {
    let (address, mut coming) = receive(&[0]).await;
    let (home, _model) = clerk("first").await;
    hooked(&home, &address, false);
    let mut server = serve_clerk(&home, SECRET);
    let mut run = Running::start(home.command(&["run", "clerk", "note it", "--json"]));
    run.out.until("\"approval_requested\"").unwrap();
    let first = next(&mut coming).await;
    server.process.child.kill().unwrap();
    server.process.child.wait().unwrap();
    let _server = serve_clerk(&home, SECRET);
    let again = next(&mut coming).await;
    assert_eq!((again.id, again.body), (first.id, first.body));
    run.child.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_address_is_not_told_unless_it_is_allowed() {
    let (address, mut coming) = receive(&[]).await;
    let (home, _model) = clerk("first").await;
    hooked(&home, &address, true);
    let _server = serve_clerk(&home, SECRET);
    let mut run = Running::start(home.command(&["run", "clerk", "note it", "--json"]));
    run.out.until("\"approval_requested\"").unwrap();
    let failed = listed_once(&home, |message| message["last_error"].is_string());
    assert!(
        failed["last_error"]
            .as_str()
            .unwrap()
            .contains("not public"),
        "{failed}"
    );
    assert!(coming.try_recv().is_err());
    run.child.kill().unwrap();
}
