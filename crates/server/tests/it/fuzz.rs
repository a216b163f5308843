//! Requests made of the document and of chance: whatever comes, the answer is never our fault. A failure prints the seed
//! of its request.

use crate::client::Answer;
use crate::operations::{self, Ids, Operation};
use crate::scratch::Database;
use crate::world::{World, run};
use domain::ports::clock::Clock;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const REQUESTS: u64 = 4_000;

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn text(&mut self) -> String {
        let texts = [
            "",
            "x",
            "helper",
            "clerk",
            "user",
            "approve",
            "é🦀",
            "\n\r\t",
            "\u{202e}",
            "null",
            "0",
            "-1",
            "%00",
            "../..",
            "1e999",
            "data:,x",
            "https://x/",
            "tiny",
            "scripted",
            "enqueue",
            "interrupt",
            "cancel",
        ];
        match self.below(20) {
            0 => "x".repeat(20_000),
            1 => "\0".to_owned(),
            _ => (*self.one(&texts)).to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth > 4 { 8 } else { 11 }) {
            0 => Value::Null,
            1 => json!(self.next().is_multiple_of(2)),
            2 => json!(self.next()),
            3 => json!(self.next().cast_signed()),
            4 => json!(f64::from_bits(self.next())),
            5..=7 => json!(self.text()),
            8 => (0..self.below(4)).map(|_| self.value(depth + 1)).collect(),
            _ => self.object(depth),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let names = [
            "agent_type",
            "title",
            "metadata",
            "input",
            "context",
            "model",
            "lane",
            "stream",
            "on_busy",
            "on_disconnect",
            "budget",
            "max_steps",
            "max_cost_usd",
            "role",
            "content",
            "type",
            "text",
            "url",
            "reason",
            "decision",
            "arguments",
            "arguments_digest",
            "name",
            "ttl_s",
            "remember",
            "more",
        ];
        let mut object = Map::new();
        for _ in 0..self.below(6) {
            let name = (*self.one(&names)).to_owned();
            object.insert(name, self.value(depth + 1));
        }
        Value::Object(object)
    }

    /// A good body with some of it replaced, or anything.
    fn body(&mut self, good: Option<Value>) -> Vec<u8> {
        let mut body = match good {
            Some(good) if self.below(4) > 0 => good,
            Some(_) | None => self.value(0),
        };
        if let Value::Object(fields) = &mut body {
            if self.below(2) == 0
                && let Value::Object(more) = self.object(0)
            {
                fields.extend(more);
            }
            // A run's stream would be read to its end, and that may wait for an approval.
            if fields.contains_key("input") {
                fields.insert("stream".to_owned(), json!(false));
            }
        }
        let mut bytes = body.to_string().into_bytes();
        if self.below(10) == 0 && !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] = self.next().to_le_bytes()[0];
        }
        bytes
    }

    fn path(&mut self, operation: &Operation, ids: &[Ids]) -> String {
        let mut path = operation.path_with(self.one(ids));
        for query in &operation.queries {
            if query == "follow" || self.below(3) > 0 {
                continue;
            }
            let text: String = self
                .text()
                .bytes()
                .take(200)
                .map(|byte| format!("%{byte:02x}"))
                .collect();
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{query}={text}"));
        }
        path
    }
}

#[test]
fn no_request_is_answered_with_a_failure_of_ours() {
    run(Database::Sqlite, async |world: Arc<World>| {
        let (live, approval) = world.waiting().await;
        let text = |name: &str| approval[name].as_str().expect("an id").to_owned();
        let begin = json!({"agent_type": "clerk", "query": "hi", "context": {}});
        let session = world.post("/api/v1/agents/sessions", &begin).await.ok();
        let unknown = world.clock.uuid().to_string();
        let (key, _) = world.new_key("acme", domain::key::Role::Viewer, None).await;
        let ids = [
            Ids {
                thread: text("thread_id"),
                run: text("run_id"),
                session: session["session_id"].as_str().expect("an id").to_owned(),
                approval: text("id"),
                key: key.to_string(),
                grant: unknown.clone(),
            },
            Ids {
                thread: unknown.clone(),
                run: unknown.clone(),
                session: unknown.clone(),
                approval: unknown.clone(),
                key: unknown.clone(),
                grant: unknown,
            },
            Ids {
                thread: world.thread("helper").await,
                run: "x".to_owned(),
                session: text("run_id"),
                approval: "%ff".to_owned(),
                key: "%00".to_owned(),
                grant: "x".to_owned(),
            },
        ];
        let operations = operations::all();
        let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
        for seed in 0..REQUESTS {
            let answer = one(&world, &operations, &ids, seed).await;
            let shown = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(
                answer.status < 500,
                "seed {seed}: {} {shown}",
                answer.status
            );
            if answer.status >= 400 {
                let code = answer.json()["code"].as_str().expect("a code").to_owned();
                answer.problem(answer.status, &code);
            }
            *statuses.entry(answer.status).or_default() += 1;
        }
        for status in [200, 400, 404, 422] {
            assert!(
                statuses.get(&status).is_some_and(|count| *count > 50),
                "{statuses:?}"
            );
        }
        drop(live);
    });
}

async fn one(world: &World, operations: &[Operation], ids: &[Ids], seed: u64) -> Answer {
    let mut chance = Chance(seed);
    let operation = chance.one(operations);
    let path = chance.path(operation, ids);
    let mut ask = world.owner(&operation.method, &path).await;
    if operation.has_body {
        ask = ask
            .raw(&chance.body(operation.body()))
            .header("content-type", "application/json");
    }
    for name in ["idempotency-key", "last-event-id", "x-request-id"] {
        if chance.below(6) == 0 {
            let text: String = chance.text().chars().filter(|c| !c.is_control()).collect();
            ask = ask.header(name, &text);
        }
    }
    ask.send().await
}
