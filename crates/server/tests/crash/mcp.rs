//! The program killed around the dispatch of MCP tools' calls, of each effect, over both transports: an unsafe call
//! reaches its server at most once unless a person says again, a keyed one under one key, and every run ends.

use crate::database::Database;
use proof::http::{Ask, PATIENCE};
use proof::limit::{LIMIT, within};
use proof::program::{Program, Start, is_crash};
use proof::world::{QUICK, World};
use scripted::{Does, Era, McpServer, McpTool};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Where a call can be cut off, in order, and which of the six passages dies.
const POINTS: [(&str, u32); 6] = [
    ("tool.before_dispatch_commit", 2),
    ("tool.after_dispatch_commit", 2),
    ("tool.before_send", 3),
    ("tool.after_effect", 4),
    ("tool.before_settle_commit", 3),
    ("tool.after_settle_commit", 3),
];

const API: &str = "/api/v1/agents";
const TOOLS: [&str; 3] = ["plain", "keyed", "lookup"];
const SERVERS: [&str; 2] = ["line", "web"];

/// The settings of both servers, which are one: what arrives is counted in one place.
fn settings(server: &McpServer) -> String {
    let command = server.command();
    let mut text = format!(
        "\n[mcp.line]\ncommand = {:?}\nargs = {:?}\n\n[mcp.web]\nurl = {:?}\n",
        command[0],
        &command[1..],
        server.url()
    );
    for name in SERVERS {
        for (tool, effect) in [
            ("plain", "unsafe"),
            ("keyed", "keyed"),
            ("lookup", "idempotent"),
        ] {
            text.push_str(&format!(
                "\n[tools.{name}_{tool}]\nkind = \"mcp\"\nserver = \"{name}\"\ntool = \"{tool}\"\neffect = \"{effect}\"\n"
            ));
        }
    }
    text
}

fn names() -> Vec<String> {
    let of_server = |server: &str| TOOLS.map(|tool| format!("{server}_{tool}"));
    SERVERS
        .iter()
        .flat_map(|server| of_server(server))
        .collect()
}

async fn world(database: Database) -> (World, McpServer) {
    let tools = TOOLS.map(|tool| McpTool::new(tool, Does::Echo)).to_vec();
    let server = McpServer::start(Era::Legacy, tools).await;
    let world = database.world().await.set(&QUICK);
    world.add("runyard.toml", &settings(&server));
    let agent = format!(
        "---\nname: Hand\ndescription: Does as it is told.\ntools: [{}]\n---\nYou do as you are told.\n",
        names().join(", ")
    );
    world.add("agents/hand.md", &agent);
    (world, server)
}

async fn get(address: SocketAddr, path: String) -> Option<Value> {
    let answer = Ask::get(path).send(address).await.ok()?;
    (answer.status == 200).then_some(answer.body)
}

async fn post(address: SocketAddr, path: String, body: Value) -> Option<Value> {
    let answer = Ask::post(path, &body).send(address).await.ok()?;
    (answer.status == 200).then_some(answer.body)
}

/// Waits until the agent has all its tools.
async fn offered(address: SocketAddr) {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = get(address, API.to_owned()).await.unwrap_or_default();
        let agents = list["agents"].as_array().cloned().unwrap_or_default();
        let hand = agents.iter().find(|agent| agent["agent_type"] == "hand");
        let count = hand.and_then(|hand| hand["tools"].as_array().map(Vec::len));
        if count == Some(names().len()) {
            return;
        }
        assert!(Instant::now() < until, "{list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A run that calls the tool; `None` if the server died first.
async fn begin(address: SocketAddr, tool: &str) -> Option<String> {
    let thread = post(
        address,
        format!("{API}/threads"),
        json!({ "agent_type": "hand" }),
    )
    .await?;
    let path = format!("{API}/threads/{}/runs", thread["id"].as_str()?);
    let input = format!("{tool} {tool}-tag");
    let run = post(address, path, json!({ "input": input, "stream": false })).await?;
    Some(run["id"].as_str()?.to_owned())
}

/// How often a tool was called, and under how many keys.
fn arrived(server: &McpServer, name: &str) -> (usize, usize) {
    let (_, tool) = name.split_once('_').expect("a server and a tool");
    let tag = format!("{name}-tag");
    let calls = server.calls();
    let same = |call: &&Value| call["name"] == tool && call["arguments"]["tag"] == tag.as_str();
    let calls: Vec<&Value> = calls.iter().filter(same).collect();
    let key = |call: &&Value| call["_meta"]["runyard/idempotencyKey"].to_string();
    (
        calls.len(),
        calls.iter().map(key).collect::<BTreeSet<_>>().len(),
    )
}

/// Brings a run to its end. A call of unknown outcome is made again exactly where it had not arrived, as a person would.
async fn finish(server: &McpServer, address: SocketAddr, run: &str, name: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "{name} {run} does not end");
        let Some(now) = get(address, format!("{API}/runs/{run}")).await else {
            continue;
        };
        match now["status"].as_str() {
            Some("completed" | "failed" | "cancelled") => return now,
            Some("awaiting_approval") => {
                for approval in now["pending_approvals"].as_array().into_iter().flatten() {
                    assert_eq!(approval["kind"], "outcome_unknown", "{now}");
                    let decision = if arrived(server, name).0 == 0 {
                        "approve"
                    } else {
                        "deny"
                    };
                    let id = approval["id"].as_str().expect("an id");
                    let path = format!("{API}/approvals/{id}/resolve");
                    post(address, path, json!({ "decision": decision })).await;
                }
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Kills at one point, starts again and judges.
async fn kill(database: Database, point: &str, hits: u32) {
    let (world, server) = world(database).await;
    // The definitions are known from here on, so that runs find their tools at once after the crash.
    let first = world.start().await;
    offered(first.address).await;
    first.kill().await;
    let mut doomed: Program = match world.start_doomed(point, hits).await {
        Start::Ready(program) => *program,
        Start::Ended(status, said) => panic!("{point}: ended at its start, {status}: {said}"),
    };
    let names = names();
    let begun = names.iter().map(|name| begin(doomed.address, name));
    let begun = futures::future::join_all(begun).await;
    let status = doomed.ended(PATIENCE).await;
    let died = status.is_some_and(is_crash);
    assert!(died, "{point} at {hits}: {status:?}\n{}", doomed.said());
    let again = world.start().await;
    for (name, run) in names.iter().zip(begun) {
        let Some(run) = run else { continue };
        let ended = finish(&server, again.address, &run, name).await;
        assert_eq!(ended["status"], "completed", "{point} {name}: {ended}");
        let (count, keys) = arrived(&server, name);
        assert_eq!(keys, 1, "{point} {name}: {count} calls, {ended}");
        if name.ends_with("plain") {
            assert_eq!(count, 1, "{point} {name}: {ended}");
        }
    }
    again.kill().await;
}

async fn kill_at_every_point(database: Database) {
    for pair in POINTS.chunks(2) {
        let kills = pair.iter();
        let kills = kills.map(|(point, hits)| kill(database, point, *hits));
        futures::future::join_all(kills).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_mcp_tools_survive_a_kill_at_every_point_on_sqlite() {
    within(LIMIT, kill_at_every_point(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_mcp_tools_survive_a_kill_at_every_point_on_postgres() {
    within(LIMIT, kill_at_every_point(Database::Postgres)).await;
}
