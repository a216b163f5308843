//! What clients were told, read off the bytes that the server gave to their sockets, and whether a store has it.

use super::trace::{Deed, Moment};
use domain::approval::ApprovalStatus;
use domain::ports::store::{Store, StoreResult};
use domain::response::ResponseId;
use domain::{ApprovalId, CallId, RunId, ThreadId};
use proof::frames::{Frame, Frames};
use proof::http::Chunks;
use serde_json::Value;
use server::first_start::scope;
use server::sse::Encoder;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

#[derive(Clone)]
pub enum Promise {
    Thread(ThreadId),
    /// An event that does not tell of a turn in flight, in its bytes.
    Event(RunId, Frame),
    Decided(ApprovalId),
    Run(RunId),
    Ended(RunId),
    /// A call that has its result.
    Settled(RunId, CallId),
    Response(RunId, ResponseId),
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(id) => write!(f, "thread {id}"),
            Self::Event(run, frame) => write!(f, "run {run}: event {} {}", frame.seq, frame.event),
            Self::Decided(id) => write!(f, "decision of {id}"),
            Self::Run(id) => write!(f, "run {id}"),
            Self::Ended(id) => write!(f, "end of {id}"),
            Self::Settled(run, call) => write!(f, "run {run}: result of {call}"),
            Self::Response(run, id) => write!(f, "run {run}: response {id}"),
        }
    }
}

/// Conversations with clients as they go on.
#[derive(Default)]
pub struct Ears {
    talks: BTreeMap<String, Talk>,
    pub promises: Vec<Promise>,
}

/// One request and its answer.
#[derive(Default)]
struct Talk {
    asked: Vec<u8>,
    head: Vec<u8>,
    body: Option<Body>,
}

struct Body {
    status: String,
    chunks: Chunks,
    json: Option<Vec<u8>>,
    frames: Frames,
}

impl Ears {
    /// What is handed to the system may be with the client at any moment from then on.
    pub fn take(&mut self, moment: &Moment) {
        match moment {
            Moment::Begins(_, Deed::Hear(peer, bytes)) => {
                let talk = self.talks.entry(peer.clone()).or_default();
                if !talk.head.is_empty() {
                    *talk = Talk::default();
                }
                talk.asked.extend_from_slice(bytes);
            }
            Moment::Begins(_, Deed::Tell(peer, bytes)) => {
                let talk = self.talks.entry(peer.clone()).or_default();
                self.promises.extend(talk.tell(bytes));
            }
            Moment::Begins(..) | Moment::Ends(_) => {}
        }
    }
}

impl Talk {
    /// What these bytes say that the ones before did not.
    fn tell(&mut self, bytes: &[u8]) -> Vec<Promise> {
        let body = match &mut self.body {
            Some(body) => {
                body.chunks.feed(bytes);
                body
            }
            None => {
                self.head.extend_from_slice(bytes);
                let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
                let Some(end) = end else {
                    return Vec::new();
                };
                let rest = self.head.split_off(end + 4);
                let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
                let is_stream = head.contains("content-type: text/event-stream");
                self.body.insert(Body {
                    status: head.get(9..12).unwrap_or_default().to_owned(),
                    chunks: Chunks::after(&head, rest),
                    json: (!is_stream).then(Vec::new),
                    frames: Frames::default(),
                })
            }
        };
        let more = body.chunks.take().expect("a body as HTTP has it");
        let Some(json) = &mut body.json else {
            return body.frames(&more);
        };
        json.extend_from_slice(&more);
        if !body.chunks.over || body.status != "200" {
            return Vec::new();
        }
        let told = serde_json::from_slice(json).unwrap_or(Value::Null);
        let request = String::from_utf8_lossy(&self.asked);
        promised(request.lines().next().unwrap_or_default(), &told)
            .into_iter()
            .collect()
    }
}

impl Body {
    fn frames(&mut self, more: &[u8]) -> Vec<Promise> {
        self.frames.feed(more);
        let mut promises = Vec::new();
        while let Some(frame) = self.frames.take().expect("a frame as it should be") {
            if !frame.is_delta() {
                promises.push(Promise::Event(id(frame.text("run_id")), frame));
            }
        }
        promises
    }
}

fn id<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().expect("an id as they are told")
}

/// What a good answer to a request promises.
fn promised(request: &str, told: &Value) -> Option<Promise> {
    let path = request.strip_prefix("POST /api/v1/agents/")?;
    let path: Vec<&str> = path.split(' ').next()?.split('/').collect();
    let text = |field: &str| told[field].as_str().unwrap_or_default();
    Some(match path.as_slice() {
        ["threads"] => Promise::Thread(id(text("id"))),
        ["approvals", approval, "resolve"] => Promise::Decided(id(approval)),
        ["runs", run, "cancel"] | ["sessions", run, "complete"] => Promise::Ended(id(run)),
        ["sessions"] => Promise::Run(id(text("session_id"))),
        ["sessions", run, "execute"] => {
            let content: Value = serde_json::from_str(text("content")).unwrap_or(Value::Null);
            let open = matches!(
                content["status"].as_str(),
                Some("awaiting_approval" | "running")
            );
            let call = CallId::from_client(text("tool_call_id").to_owned());
            (!open).then(|| Promise::Settled(id(run), call))?
        }
        ["sessions", run, "inference"] => Promise::Response(id(run), id(text("id"))),
        _ => return None,
    })
}

/// Those of the promises that the store does not keep.
pub async fn broken(store: &dyn Store, promises: &[Promise]) -> Vec<String> {
    let mut logs = BTreeMap::new();
    let mut broken = Vec::new();
    for promise in promises {
        match is_kept(store, promise, &mut logs).await {
            Ok(true) => {}
            Ok(false) => broken.push(format!("lost: {promise:?}")),
            Err(error) => broken.push(format!("unreadable: {promise:?}: {error}")),
        }
    }
    broken
}

/// Frames by their numbers.
type Log = BTreeMap<u64, Vec<u8>>;

async fn is_kept(
    store: &dyn Store,
    promise: &Promise,
    logs: &mut BTreeMap<RunId, Log>,
) -> StoreResult<bool> {
    let scope = scope();
    Ok(match promise {
        Promise::Thread(id) => store.get_thread(&scope, *id).await?.is_some(),
        Promise::Event(run, frame) => {
            if !logs.contains_key(run) {
                logs.insert(*run, log(store, *run).await?);
            }
            logs[run].get(&frame.seq) == Some(&frame.bytes)
        }
        Promise::Decided(id) => {
            let approval = store.get_approval(&scope, *id).await?;
            approval.is_some_and(|it| it.status != ApprovalStatus::Pending)
        }
        Promise::Run(id) => store.get_run(&scope, *id).await?.is_some(),
        Promise::Ended(id) => {
            let run = store.get_run(&scope, *id).await?;
            run.is_some_and(|run| run.status().is_terminal())
        }
        Promise::Settled(run, call) => {
            let step = store.find_call(&scope, *run, call).await?;
            step.is_some_and(|step| step.completed_at.is_some())
        }
        Promise::Response(run, id) => store.get_response(&scope, *run, *id).await?.is_some(),
    })
}

async fn log(store: &dyn Store, run: RunId) -> StoreResult<Log> {
    let records = store.read_log(&scope(), run, 0, u32::MAX).await?;
    let encoder = Encoder::new(run);
    let events = records
        .into_iter()
        .flat_map(|record| record.events_after(0));
    let frames = events.map(|event| {
        let mut bytes = Vec::new();
        encoder.write(&event, &mut bytes);
        (event.seq, bytes)
    });
    Ok(frames.collect())
}
