//! A server as a client with the owner's key sees it.

use crate::program::{Home, PATIENCE, Serving};
use serde_json::Value;
use std::time::{Duration, Instant};

const API: &str = "/api/v1/agents";

pub struct Seen<'a> {
    key: String,
    server: &'a Serving,
}

impl<'a> Seen<'a> {
    pub fn new(home: &Home, server: &'a Serving) -> Self {
        Self {
            key: home.owner_key().trim().to_owned(),
            server,
        }
    }

    pub async fn try_ask(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        let path = format!("{API}{path}");
        self.server.ask(&path, &self.key, body).await
    }

    pub async fn ask(&self, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.try_ask(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// What it tells of a run in every way, its stream apart.
    pub async fn all(&self, run: &str) -> Vec<Value> {
        let shown = self.ask(&format!("/runs/{run}"), None).await;
        let thread = shown["thread_id"].as_str().unwrap();
        vec![
            self.ask(&format!("/threads/{thread}"), None).await,
            self.ask("/threads", None).await,
            self.ask("/approvals?status=pending", None).await,
            self.ask("/runs", None).await,
            shown,
        ]
    }

    pub async fn stream(&self, run: &str, after: &str) -> String {
        let path = format!("{API}/runs/{run}/events");
        self.server.stream(&path, &self.key, after).await
    }

    /// A reader that stopped after some events gets the rest.
    pub async fn is_rejoined(&self, run: &str) {
        let whole = self.stream(run, "0").await;
        let cursor = ids(&whole)[2];
        let rest = self.stream(run, cursor).await;
        assert_eq!(ids(&rest), ids(&whole)[3..]);
    }

    pub async fn until(&self, run: &str, status: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.ask(&format!("/runs/{run}"), None).await;
            if shown["status"] == status {
                return shown;
            }
            assert!(Instant::now() < deadline, "not {status}: {shown}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The ids of the events in a stream.
fn ids(stream: &str) -> Vec<&str> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("id:"))
        .map(str::trim)
        .collect()
}
