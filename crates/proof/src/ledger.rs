//! The world that tools act on: a service that counts what was done to it, by whom, and under which key.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What was done for one tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Requests to the path that counts every one.
    pub plain: u32,
    /// Keys sent to the path that acts once for each, with how often each came.
    pub keyed: BTreeMap<String, u32>,
    /// Requests that came before anybody had approved them.
    pub unapproved: u32,
    pub looked_up: u32,
}

#[derive(Default)]
struct Book {
    entries: BTreeMap<String, Entry>,
    approved: BTreeSet<String>,
}

#[derive(Clone)]
struct Shared {
    book: Arc<Mutex<Book>>,
    count: watch::Sender<u64>,
    /// True once requests of tags that begin with `held` are answered.
    open: watch::Sender<bool>,
}

pub struct Ledger {
    pub address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Ledger {
    pub async fn start() -> Self {
        let shared = Shared {
            book: Arc::default(),
            count: watch::Sender::new(0),
            open: watch::Sender::new(false),
        };
        let router = Router::new()
            .route("/plain/{tag}", post(plain))
            .route("/keyed/{tag}", post(keyed))
            .route("/gated/{tag}", post(gated))
            .route("/lookup/{tag}", get(lookup))
            .route("/long/{tag}", get(long))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let serving = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("it serves until it is dropped");
        });
        Self {
            address,
            shared,
            serving,
        }
    }

    pub fn entry(&self, tag: &str) -> Entry {
        let book = self.shared.book.lock().expect("no holder panics");
        book.entries.get(tag).cloned().unwrap_or_default()
    }

    /// From here on the gated path may be used for the tag.
    pub fn approve(&self, tag: &str) {
        let mut book = self.shared.book.lock().expect("no holder panics");
        book.approved.insert(tag.to_owned());
    }

    /// Answers what was held back, and holds nothing back any more.
    pub fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Waits until so many requests have come.
    pub async fn wait(&self, requests: u64) {
        let mut count = self.shared.count.subscribe();
        let waited = count.wait_for(|count| *count >= requests);
        waited.await.expect("the ledger lives");
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    async fn note(&self, tag: &str, what: impl FnOnce(&mut Entry, bool)) -> Json<Value> {
        {
            let mut book = self.book.lock().expect("no holder panics");
            let approved = book.approved.contains(tag);
            what(book.entries.entry(tag.to_owned()).or_default(), approved);
        }
        self.count.send_modify(|count| *count += 1);
        if tag.starts_with("held") {
            let mut open = self.open.subscribe();
            // The sender is in `self`, so it lives.
            let _ = open.wait_for(|open| *open).await;
        }
        Json(json!({ "done": tag }))
    }
}

async fn plain(State(shared): State<Shared>, Path(tag): Path<String>) -> Json<Value> {
    shared.note(&tag, |entry, _| entry.plain += 1).await
}

async fn keyed(
    State(shared): State<Shared>,
    Path(tag): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let key = key.unwrap_or("none").to_owned();
    let note = |entry: &mut Entry, _| *entry.keyed.entry(key).or_default() += 1;
    shared.note(&tag, note).await
}

async fn gated(State(shared): State<Shared>, Path(tag): Path<String>) -> Json<Value> {
    let note = |entry: &mut Entry, approved: bool| {
        entry.plain += 1;
        entry.unapproved += u32::from(!approved);
    };
    shared.note(&tag, note).await
}

async fn lookup(State(shared): State<Shared>, Path(tag): Path<String>) -> Json<Value> {
    shared.note(&tag, |entry, _| entry.looked_up += 1).await
}

/// More than a model is told of a result at once.
async fn long(Path(tag): Path<String>) -> Json<Value> {
    Json(json!({ "found": format!("{tag} ").repeat(20_000) }))
}
