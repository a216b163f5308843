//! Two orgs at work on one server, each of which tries every operation of the API with every id of the other's: the
//! answer must be that to an id which nobody has, byte for byte, and no list may show anything of the other's.

use crate::clients::{BASE, good};
use crate::http::{Answer, Ask, KEY};
use crate::world::World;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use uuid::Uuid;

/// What was tried, and what must not be.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    pub requests: u64,
    /// Operations that take an id, of those that the server's own document lists.
    pub operations: BTreeSet<String>,
    /// Slots of paths into which nothing of the other's could be put.
    pub empty: BTreeSet<String>,
    pub violations: Vec<String>,
}

/// One org, its key and the ids of what it has, by the name of their slot in paths.
struct Tenant {
    name: &'static str,
    key: String,
    ids: BTreeMap<String, Vec<String>>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
}

pub struct Isolation<'a> {
    world: &'a World,
    servers: Vec<SocketAddr>,
    tenants: [Tenant; 2],
    operations: Vec<Operation>,
    tried: Tried,
    turn: usize,
}

impl<'a> Isolation<'a> {
    /// # Errors
    /// A server that does not answer as it should.
    pub async fn begin(world: &'a World, servers: Vec<SocketAddr>) -> io::Result<Self> {
        let document = good(Ask::get("/openapi.json").send(servers[0]).await?)?;
        let first = Tenant::new("default", KEY.to_owned());
        let second = Tenant::new("rival", rival(world).await?);
        Ok(Self {
            world,
            servers,
            tenants: [first, second],
            operations: operations(&document),
            tried: Tried::default(),
            turn: 0,
        })
    }

    /// Both do something new, and try everything of the other's that is the newest of its kind.
    ///
    /// # Errors
    /// A server that does not answer as it should.
    pub async fn round(&mut self) -> io::Result<()> {
        self.turn += 1;
        let server = self.servers[self.turn % self.servers.len()];
        let [first, second] = &mut self.tenants;
        tokio::try_join!(
            first.work(self.world, server, self.turn),
            second.work(self.world, server, self.turn)
        )?;
        for (own, other) in [(0, 1), (1, 0)] {
            for operation in 0..self.operations.len() {
                self.try_foreign(own, other, operation).await?;
            }
            self.look_at_lists(own, other).await?;
        }
        self.same_keys().await
    }

    pub fn tried(self) -> Tried {
        self.tried
    }

    fn any(&self) -> SocketAddr {
        let turn = usize::try_from(self.tried.requests).unwrap_or(0);
        self.servers[turn % self.servers.len()]
    }

    async fn try_foreign(&mut self, own: usize, other: usize, operation: usize) -> io::Result<()> {
        let operation = &self.operations[operation];
        let Some(slot) = slot(&operation.path) else {
            return Ok(());
        };
        let Some(foreign) = self.tenants[other].ids.get(slot).and_then(|ids| ids.last()) else {
            self.tried.empty.insert(slot.to_owned());
            return Ok(());
        };
        let unknown = match foreign.strip_prefix("res_") {
            Some(_) => format!("res_{}", Uuid::now_v7().simple()),
            None => Uuid::now_v7().to_string(),
        };
        let key = self.tenants[own].key.clone();
        let ask = |id: &str| {
            let path = operation.path.replace(&format!("{{{slot}}}"), id);
            let ask = Ask::new(operation.method.to_uppercase(), path).key(&key);
            match operation.method.as_str() {
                "post" | "patch" | "put" => ask.body(&body(&operation.id)),
                _ => ask,
            }
        };
        let (foreign_ask, unknown_ask) = (ask(foreign), ask(&unknown));
        let what = format!(
            "{} with {foreign} of {}",
            operation.id, self.tenants[other].name
        );
        self.tried.operations.insert(operation.id.clone());
        let theirs = foreign_ask.send(self.any()).await?;
        self.tried.requests += 1;
        let nobodys = unknown_ask.send(self.any()).await?;
        self.tried.requests += 1;
        let (theirs, nobodys) = (bare(theirs), bare(nobodys));
        if theirs.0 != 404 || theirs != nobodys {
            let told = format!("{what}: {theirs:?}, of an unknown one {nobodys:?}");
            self.tried.violations.push(told);
        }
        Ok(())
    }

    /// No list shows an id or a word of the other's.
    async fn look_at_lists(&mut self, own: usize, other: usize) -> io::Result<()> {
        let words: Vec<String> = self.tenants[other]
            .ids
            .values()
            .flatten()
            .cloned()
            .collect();
        let word = self.tenants[other].word();
        let lists: Vec<String> = self
            .operations
            .iter()
            .filter(|operation| operation.method == "get" && operation.path.starts_with(BASE))
            .filter(|operation| {
                slot(&operation.path).is_none() && !operation.path.ends_with("/stream")
            })
            .map(|operation| operation.path.clone())
            .collect();
        for path in lists {
            let ask = Ask::get(&path).key(&self.tenants[own].key);
            let shown = ask.send(self.any()).await?.body.to_string();
            self.tried.requests += 1;
            let seen = words
                .iter()
                .chain([&word])
                .find(|word| shown.contains(*word));
            if let Some(seen) = seen {
                let told = format!("{path} shows {seen} of {}", self.tenants[other].name);
                self.tried.violations.push(told);
            }
        }
        Ok(())
    }

    /// The same idempotency key of two orgs is two keys.
    async fn same_keys(&mut self) -> io::Result<()> {
        let mut made = Vec::new();
        for tenant in &self.tenants {
            let body = json!({ "agent_type": "worker", "title": "the same" });
            let ask = Ask::post(format!("{BASE}/threads"), &body)
                .key(&tenant.key)
                .header("idempotency-key", format!("same-{}", self.turn));
            let thread = good(ask.send(self.any()).await?)?;
            made.push(thread["id"].clone());
            self.tried.requests += 1;
        }
        if made[0] == made[1] {
            let told = format!("one idempotency key of two orgs made one thread: {made:?}");
            self.tried.violations.push(told);
        }
        Ok(())
    }
}

impl Tenant {
    fn new(name: &'static str, key: String) -> Self {
        Self {
            name,
            key,
            ids: BTreeMap::new(),
        }
    }

    /// What is in everything that it says.
    fn word(&self) -> String {
        format!("secret-of-{}", self.name)
    }

    fn has(&mut self, slot: &str, id: &Value) {
        if let Some(id) = id.as_str() {
            let ids = self.ids.entry(slot.to_owned()).or_default();
            ids.push(id.to_owned());
        }
    }

    async fn ask(&self, server: SocketAddr, path: &str, body: Option<Value>) -> io::Result<Value> {
        let path = format!("{BASE}{path}");
        let ask = match body {
            Some(body) => Ask::post(path, &body),
            None => Ask::get(path),
        };
        good(ask.key(&self.key).send(server).await?)
    }

    /// Makes one of each kind: a thread, a run that waits for a person and one that does not, a remembered approval, a
    /// kept result, a session and a key.
    async fn work(&mut self, world: &World, server: SocketAddr, turn: usize) -> io::Result<()> {
        let word = self.word();
        let thread = json!({ "agent_type": "worker", "title": format!("{word} {turn}") });
        let thread = self.ask(server, "/threads", Some(thread)).await?;
        self.has("thread_id", &thread["id"]);
        let path = format!(
            "/threads/{}/runs",
            thread["id"].as_str().unwrap_or_default()
        );
        for verb in ["long", "gated", "gated"] {
            let tag = format!("{word}-{turn}-{verb}");
            world.ledger.approve(&tag);
            let input = json!({ "input": format!("{verb} {tag}"), "stream": false });
            let run = self.ask(server, &path, Some(input)).await?;
            self.follow(server, &run["id"]).await?;
        }
        let session = json!({ "agent_type": "worker", "query": word });
        let session = self.ask(server, "/sessions", Some(session)).await?;
        self.has("session_id", &session["session_id"]);
        let key = json!({ "name": word, "role": "viewer" });
        let key = self.ask(server, "/keys", Some(key)).await?;
        self.has("key_id", &key["id"]);
        Ok(())
    }

    /// Goes along with a run until it is over, or waits for a person for the second time.
    async fn follow(&mut self, server: SocketAddr, run: &Value) -> io::Result<()> {
        self.has("run_id", run);
        let path = format!("/runs/{}", run.as_str().unwrap_or_default());
        loop {
            let shown = self.ask(server, &path, None).await?;
            for result in kept(&shown.to_string()) {
                self.has("result_id", &json!(result));
            }
            if let Some(approval) = shown["pending_approvals"].get(0) {
                self.has("approval_id", &approval["id"]);
                // Of the first a grant is left; the next one is not of its arguments, and waits on.
                if self.ids.contains_key("grant_id") {
                    let path = format!(
                        "/approvals/{}/resolve",
                        approval["id"].as_str().unwrap_or_default()
                    );
                    let denied = json!({ "decision": "deny" });
                    self.ask(server, &path, Some(denied)).await?;
                } else {
                    self.remember(server, approval).await?;
                }
            }
            match shown["status"].as_str() {
                Some("completed" | "failed" | "cancelled") => return Ok(()),
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }

    async fn remember(&mut self, server: SocketAddr, approval: &Value) -> io::Result<()> {
        let tag = approval["arguments"]["tag"].as_str().unwrap_or_default();
        let decision = json!({
            "decision": "approve",
            "remember": { "predicate": format!("args.tag == \"{tag}\"") },
        });
        let path = format!(
            "/approvals/{}/resolve",
            approval["id"].as_str().unwrap_or_default()
        );
        self.ask(server, &path, Some(decision)).await?;
        let grants = self.ask(server, "/grants", None).await?;
        self.has("grant_id", &grants["grants"][0]["id"]);
        Ok(())
    }
}

/// The owner's key of a second org.
async fn rival(world: &World) -> io::Result<String> {
    let mut command = world.beside(&[
        "keys", "create", "--org", "rival", "--name", "rival", "--role", "owner",
    ]);
    let said = command.output().await?;
    if !said.status.success() {
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        return Err(io::Error::other(told));
    }
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if let Some(id) = operation["operationId"].as_str() {
                found.push(Operation {
                    id: id.to_owned(),
                    method: method.clone(),
                    path: path.clone(),
                });
            }
        }
    }
    found
}

/// The name of the slot in a path.
fn slot(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once('{')?;
    rest.split_once('}').map(|(name, _)| name)
}

/// The first entry of a device's journal, and SHA-256 over 64 zeros, a line's end and it.
const ENTRY: &str = r#"{"kind":"model_turn","name":"tiny","started_at":"2026-01-31T12:00:00Z","completed_at":"2026-01-31T12:00:02Z"}"#;
const ENTRY_HASH: &str = "31ba5bd99941a97796523901a1a80983d303a2d3f54d620c9093ff18f3a5d161";

/// A body that an operation would take, where it needs more than an empty one.
fn body(operation: &str) -> Value {
    match operation {
        "create_run" => json!({ "input": "hi", "stream": false }),
        "update_thread" | "fork_thread" => json!({ "title": "taken over" }),
        "resolve_approval" => json!({ "decision": "deny" }),
        "update_session_lane" => json!({ "kind": "device" }),
        "execute_tool" => json!({ "tool_name": "plain", "arguments": {}, "tool_call_id": "c" }),
        "create_response" => json!({ "model": "scripted", "input": "hi" }),
        "create_steps" => json!({ "entries": [{
            "seq": 1, "prev": "0".repeat(64), "hash": ENTRY_HASH, "entry": ENTRY,
        }] }),
        "complete_session" => {
            json!({ "summary": "s", "confidence": null, "evidence": [], "next_steps": [] })
        }
        "overrule_gate" => json!({ "label": "allow" }),
        _ => json!({}),
    }
}

/// An answer without what differs between any two.
fn bare(mut answer: Answer) -> (u16, String) {
    if let Some(body) = answer.body.as_object_mut() {
        body.remove("request_id");
    }
    (answer.status, answer.body.to_string())
}

/// Ids of kept results in a text.
fn kept(text: &str) -> Vec<String> {
    let parts = text.split("res_").skip(1);
    parts
        .filter_map(|rest| rest.get(..32))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|digits| format!("res_{digits}"))
        .collect()
}
