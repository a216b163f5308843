//! Clients that each want one run of a kind, keep what they saw and what they were promised, and after a crash go on
//! as a careful client would: what was not answered is asked again with its key, what was answered is looked up.

use crate::frames::Frame;
use crate::history::{Effects, History, Wish};
use crate::http::{Answer, Ask, Live};
use crate::kinds::Kind;
use crate::sessions::Promises;
use crate::world::World;
use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

pub const BASE: &str = "/api/v1/agents";

/// How soon after a start every run must be over, or before a person.
pub const RECOVERY: Duration = Duration::from_secs(15);

/// A wish and what became of it.
pub struct Client {
    pub kind: Kind,
    pub tag: String,
    /// The tag by which its thread is made: two clients that name the same have one thread.
    thread_tag: String,
    pub thread: Option<String>,
    pub run: Option<String>,
    /// Who comes before it on its thread.
    first: Option<Arc<Mutex<Self>>>,
    /// One for each stream that was read.
    pub seen: Vec<Vec<Frame>>,
    cancel_promised: bool,
    pub session: Promises,
}

/// What must not be, with where it was.
#[derive(Debug)]
pub struct Complaint(pub String);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Client {
    pub fn new(kind: Kind, tag: String) -> Self {
        Self {
            kind,
            first: kind.first().map(|first| {
                let mut first = Self::new(first, format!("first-{tag}"));
                first.thread_tag.clone_from(&tag);
                Arc::new(Mutex::new(first))
            }),
            thread_tag: tag.clone(),
            tag,
            thread: None,
            run: None,
            seen: Vec::new(),
            cancel_promised: false,
            session: Promises::default(),
        }
    }

    /// Goes as far as the server lives: to the end of the run, or to an error.
    pub async fn act(&mut self, world: &World, address: SocketAddr) -> io::Result<()> {
        if self.kind == Kind::Session {
            return self.act_session(world, address).await;
        }
        // Lent and not taken: whoever gives up in the middle comes again, with both.
        let Some(first) = self.first.clone() else {
            let live = self.begin(address).await?;
            return self.watch(live, world, address).await;
        };
        let mut first = first.lock().await;
        self.act_after(&mut first, world, address).await
    }

    async fn act_after(
        &mut self,
        first: &mut Self,
        world: &World,
        address: SocketAddr,
    ) -> io::Result<()> {
        let begun = first.begin(address).await?;
        let live = self.begin(address).await?;
        let (one, two) = tokio::join!(
            first.watch(begun, world, address),
            self.watch(live, world, address)
        );
        one.and(two)
    }

    /// Itself and who came before it, each with a run of its own to be judged.
    pub fn apart(mut self) -> Vec<Self> {
        let first = self.first.take().and_then(Arc::into_inner);
        let first = first.map(Mutex::into_inner);
        first.into_iter().chain([self]).collect()
    }

    /// Makes the thread and the run if they were not made, with the same keys as ever. On return the run is under way.
    pub async fn begin(&mut self, address: SocketAddr) -> io::Result<Live> {
        if self.thread.is_none() {
            let body = json!({ "agent_type": "worker", "title": self.thread_tag });
            let ask = Ask::post(format!("{BASE}/threads"), &body);
            let answer = ask.header("idempotency-key", format!("thread-{}", self.thread_tag));
            let thread = good(answer.send(address).await?)?;
            self.thread = thread["id"].as_str().map(str::to_owned);
        }
        let thread = self.thread.as_deref().unwrap_or_default();
        let body = json!({
            "input": format!("{} {}", self.kind.verb(), self.tag),
            "on_busy": self.kind.on_busy(),
        });
        let live = Ask::post(format!("{BASE}/threads/{thread}/runs"), &body)
            .header("idempotency-key", format!("run-{}", self.tag))
            .open(address)
            .await?;
        if live.status != 200 {
            return Err(io::Error::other(format!(
                "a run was answered with {}",
                live.status
            )));
        }
        let run = live
            .header("content-location")
            .and_then(|path| path.rsplit('/').next());
        self.run = run.map(|run| run.trim().to_owned());
        Ok(live)
    }

    /// Reads to the end of the stream and does on the way what this kind of client does.
    async fn watch(
        &mut self,
        mut live: Live,
        world: &World,
        address: SocketAddr,
    ) -> io::Result<()> {
        self.seen.push(Vec::new());
        let mut cancelled = false;
        while let Some(frame) = live.frame().await? {
            let (delta, asked) = (frame.is_delta(), frame.event == "approval_requested");
            let approval = frame.data["approval"].clone();
            self.seen.last_mut().expect("just pushed").push(frame);
            if asked {
                self.decide(&approval, world, address).await?;
            }
            if delta && self.kind == Kind::Cancelled && !cancelled {
                cancelled = true;
                self.cancel(address).await?;
            }
        }
        Ok(())
    }

    /// Reads until the run has said something, and leaves.
    pub async fn watch_until_it_speaks(&mut self, mut live: Live) -> io::Result<()> {
        let mut seen = Vec::new();
        while let Some(frame) = live.frame().await? {
            let speaks = frame.is_delta() && frame.text("delta").contains(&self.tag);
            seen.push(frame);
            if speaks {
                break;
            }
        }
        self.seen.push(seen);
        Ok(())
    }

    async fn cancel(&mut self, address: SocketAddr) -> io::Result<()> {
        let run = self.run.as_deref().unwrap_or_default();
        let ask = Ask::post(format!("{BASE}/runs/{run}/cancel"), &json!({}))
            .header("idempotency-key", format!("cancel-{}", self.tag));
        let answer = ask.send(address).await?;
        // The run may have come to its end first.
        if answer.body["code"] != "run_already_terminal" {
            good(answer)?;
            self.cancel_promised = true;
        }
        Ok(())
    }

    /// As a careful person decides: a call that has not been made is approved, one of unknown outcome is run again
    /// exactly if the service knows nothing of it.
    pub async fn decide(
        &self,
        approval: &Value,
        world: &World,
        address: SocketAddr,
    ) -> io::Result<()> {
        let approve = match approval["kind"].as_str() {
            Some("tool_call") => {
                world.ledger.approve(&self.tag);
                true
            }
            _ => world.ledger.entry(&self.tag).plain == 0,
        };
        let decision = if approve { "approve" } else { "deny" };
        let id = approval["id"].as_str().unwrap_or_default();
        let body = json!({ "decision": decision, "reason": "looked into it" });
        let ask = Ask::post(format!("{BASE}/approvals/{id}/resolve"), &body)
            .header("idempotency-key", format!("decide-{id}-{decision}"));
        let asked = Instant::now();
        let answer = loop {
            let answer = ask.clone().send(address).await?;
            // The first request with the key died, and its server's lease is not over yet.
            if answer.body["code"] != "idempotency_in_progress" || asked.elapsed() > RECOVERY {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if answer.body["code"] == "idempotency_in_progress" {
            let held = format!("a dead server's key was held for {RECOVERY:?}");
            return Err(io::Error::other(held));
        }
        // Another decision may have come first: the one before the crash.
        if answer.status == 409 {
            Ok(())
        } else {
            good(answer).map(|_| ())
        }
    }

    /// After the last start: brings the run to its end and reads its whole log.
    pub async fn finish(
        &mut self,
        world: &World,
        address: SocketAddr,
    ) -> Result<Finished, Complaint> {
        let begun = Instant::now();
        if self.kind == Kind::Session {
            let acted = self.act_session(world, address).await;
            acted.map_err(|error| self.complain("went on", error))?;
        }
        if self.run.is_none() {
            let live = self
                .begin(address)
                .await
                .map_err(|error| self.complain("asked again", error))?;
            let watched = self.watch(live, world, address).await;
            watched.map_err(|error| self.complain("watched again", error))?;
        }
        let after = self
            .seen
            .iter()
            .flatten()
            .map(|frame| frame.seq)
            .max()
            .unwrap_or(0);
        let ended = self.end(world, address, begun).await;
        ended.map_err(|error| self.complain("waited for", error))?;
        let took = begun.elapsed();
        let log = self
            .log(address, 0)
            .await
            .map_err(|error| self.complain("read", error))?;
        if let Some(log) = &log {
            let rest = self
                .log(address, after)
                .await
                .map_err(|error| self.complain("rejoined", error))?;
            let expected: Vec<Frame> = log
                .iter()
                .filter(|frame| frame.seq > after)
                .cloned()
                .collect();
            if rest.as_ref() != Some(&expected) {
                return Err(self.complain(
                    "rejoined",
                    format!("{rest:?} is not the rest after {after} of {log:?}"),
                ));
            }
        }
        Ok(Finished {
            took,
            history: History {
                log,
                seen: self.seen.clone(),
                cancelled: self.cancel_promised,
            },
        })
    }

    /// Waits until the run is over and decides what it asks.
    async fn end(&self, world: &World, address: SocketAddr, begun: Instant) -> io::Result<()> {
        let run = self.run.as_deref().unwrap_or_default();
        loop {
            let answer = Ask::get(format!("{BASE}/runs/{run}")).send(address).await?;
            match answer.body["status"].as_str() {
                None if answer.status == 404 => return Ok(()),
                Some("completed" | "failed" | "cancelled") => return Ok(()),
                Some("awaiting_approval") => {
                    for approval in answer.body["pending_approvals"]
                        .as_array()
                        .into_iter()
                        .flatten()
                    {
                        self.decide(approval, world, address).await?;
                    }
                }
                _ if begun.elapsed() > RECOVERY => {
                    return Err(io::Error::other(format!(
                        "not over after {RECOVERY:?}: {}",
                        answer.body
                    )));
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The run's log after a number; `None` if there is no such run.
    pub async fn log(&self, address: SocketAddr, after: u64) -> io::Result<Option<Vec<Frame>>> {
        let run = self.run.as_deref().unwrap_or_default();
        let live = Ask::get(format!("{BASE}/runs/{run}/events"))
            .header("last-event-id", after.to_string())
            .open(address)
            .await?;
        match live.status {
            200 => live.all().await.map(Some),
            404 => Ok(None),
            status => Err(io::Error::other(format!(
                "a log was answered with {status}"
            ))),
        }
    }

    /// Is there this one thread, with the runs that were asked for, and does its history serve for another run?
    pub async fn check_thread(&self, address: SocketAddr) -> Result<(), Complaint> {
        // Who comes second looks at their thread for both.
        if matches!(self.kind, Kind::Session | Kind::Ahead | Kind::Interrupted) {
            return Ok(());
        }
        let thread = self.thread.as_deref().unwrap_or_default();
        let runs = Ask::get(format!("{BASE}/runs?thread_id={thread}"))
            .send(address)
            .await;
        let runs = runs
            .and_then(good)
            .map_err(|error| self.complain("listed", error))?;
        let ids: Vec<&str> = runs["runs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|run| run["id"].as_str())
            .collect();
        let wanted = if self.kind.first().is_some() { 2 } else { 1 };
        if ids.len() != wanted || !ids.contains(&self.run.as_deref().unwrap_or_default()) {
            return Err(self.complain("listed", format!("{wanted} asked for, there are {ids:?}")));
        }
        let body = json!({ "input": format!("say again-{}", self.tag) });
        let again = Ask::post(format!("{BASE}/threads/{thread}/runs"), &body)
            .open(address)
            .await;
        let frames = match again {
            Ok(live) => live.all().await,
            Err(error) => Err(error),
        };
        let frames = frames.map_err(|error| self.complain("continued", error))?;
        match frames.last() {
            Some(last) if last.data["status"] == "completed" => Ok(()),
            last => Err(self.complain("continued", format!("{last:?}"))),
        }
    }

    /// What was done in the world for this client.
    pub async fn effects(&self, world: &World, address: SocketAddr) -> Result<Effects, Complaint> {
        let (wish, entry) = (self.kind.wish(), world.ledger.entry(&self.tag));
        let rows = match wish {
            Wish::Row | Wish::RowAndPlain => count_rows(&self.tag, address).await,
            Wish::Nothing | Wish::Plain | Wish::Keyed | Wish::Lookup => Ok(0),
        };
        let rows = rows.map_err(|error| self.complain("counted", error))?;
        Ok(Effects { wish, rows, entry })
    }

    /// What is to be known of a client that does not come on.
    pub async fn stuck(&self, address: SocketAddr) -> Complaint {
        let run = self.run.as_deref().unwrap_or_default();
        let asked = Ask::get(format!("{BASE}/runs/{run}")).send(address).await;
        let stands = asked.map_or_else(|error| error.to_string(), |answer| answer.body.to_string());
        let heard = self
            .seen
            .iter()
            .flatten()
            .last()
            .map(|frame| (frame.seq, &frame.event));
        let first = match &self.first {
            Some(first) => {
                let first = first.lock().await;
                Some((first.tag.clone(), first.run.clone(), first.seen.len()))
            }
            None => None,
        };
        self.complain(
            "hangs",
            format!("last heard {heard:?} of {stands}; before it {first:?}"),
        )
    }

    pub fn complain(&self, doing: &str, what: impl fmt::Display) -> Complaint {
        Complaint(format!(
            "{:?} {} (run {:?}), {doing}: {what}",
            self.kind, self.tag, self.run
        ))
    }
}

/// A run that was brought to its end.
pub struct Finished {
    pub history: History,
    pub took: Duration,
}

/// The rows that the keyed SQL tool left for a tag, counted by another tool.
async fn count_rows(tag: &str, address: SocketAddr) -> io::Result<u64> {
    let body = json!({ "agent_type": "worker" });
    let thread = good(
        Ask::post(format!("{BASE}/threads"), &body)
            .send(address)
            .await?,
    )?;
    let path = format!(
        "{BASE}/threads/{}/runs",
        thread["id"].as_str().unwrap_or_default()
    );
    let body = json!({ "input": format!("recorded {tag}") });
    let frames = Ask::post(path, &body).open(address).await?.all().await?;
    let told = frames
        .iter()
        .find(|frame| frame.event == "tool_call_completed");
    let content = told.and_then(|frame| serde_json::from_str::<Value>(frame.text("content")).ok());
    let rows = content
        .as_ref()
        .and_then(|content| find_number(content, "rows"));
    rows.ok_or_else(|| {
        io::Error::other(format!(
            "no count: {:?}",
            told.map(|frame| frame.text("content"))
        ))
    })
}

fn find_number(value: &Value, name: &str) -> Option<u64> {
    match value {
        Value::Object(map) => map
            .get(name)
            .and_then(Value::as_u64)
            .or_else(|| map.values().find_map(|value| find_number(value, name))),
        _ => None,
    }
}

pub fn good(answer: Answer) -> io::Result<Value> {
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(io::Error::other(format!(
            "answered with {}: {}",
            answer.status, answer.body
        )))
    }
}
