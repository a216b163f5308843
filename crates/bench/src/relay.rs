//! The bare relay: the same requests and events as the server's, made by calling the model and passing each token on.
//! Histories are kept in memory as the text that goes to the model; nothing is stored, checked or resumed. It is the
//! practical limit of a server that must call a model.

mod model;
mod turn;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use model::Model;
use turn::Turn;

#[derive(Debug, Args)]
pub struct RelayArgs {
    /// The address to listen at
    #[arg(long)]
    listen: SocketAddr,
    /// The model server's base URL, without a path
    #[arg(long)]
    model: String,
}

/// What all connections share.
#[derive(Debug)]
struct Relay {
    model: Model,
    threads: Mutex<HashMap<u64, String>>,
    next: AtomicU64,
}

impl Relay {
    fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The thread's messages, in JSON, separated by commas; `None` if there is no such thread.
    fn history(&self, thread: u64) -> Option<String> {
        let threads = self.threads.lock().expect("no holder of this lock panics");
        threads.get(&thread).cloned()
    }

    fn append(&self, thread: u64, messages: &str) {
        let mut threads = self.threads.lock().expect("no holder of this lock panics");
        if let Some(history) = threads.get_mut(&thread) {
            history.push_str(messages);
        }
    }
}

#[derive(Debug, Deserialize)]
struct StartRun<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
}

/// Serves until the process ends.
pub async fn serve(args: RelayArgs) -> anyhow::Result<()> {
    let relay = Arc::new(Relay {
        model: Model::new(&args.model)?,
        threads: Mutex::default(),
        next: AtomicU64::new(1),
    });
    let routes = Router::new()
        .route("/readyz", get(|| async { StatusCode::OK }))
        .route("/api/v1/agents/threads", post(create_thread))
        .route("/api/v1/agents/threads/{id}/runs", post(start_run))
        .with_state(relay);
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen at {}", args.listen))?;
    // Without it each small write would wait for the client's acknowledgement.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, routes)
        .await
        .context("the relay stopped")
}

async fn create_thread(State(relay): State<Arc<Relay>>) -> Json<serde_json::Value> {
    let id = relay.next_id();
    let mut threads = relay.threads.lock().expect("no holder of this lock panics");
    threads.insert(id, String::new());
    Json(serde_json::json!({ "id": id.to_string() }))
}

async fn start_run(
    State(relay): State<Arc<Relay>>,
    Path(thread): Path<u64>,
    body: axum::body::Bytes,
) -> Response {
    let Ok(start) = serde_json::from_slice::<StartRun<'_>>(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let Some(mut history) = relay.history(thread) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let message = format!(r#"{{"role":"user","content":{}}}"#, start.input.get());
    if !history.is_empty() {
        history.push(',');
    }
    history.push_str(&message);
    let turn = Turn::new(relay, thread, history, message.len());
    let events = futures::stream::unfold(turn, |mut turn| async move {
        let bytes = turn.next().await?;
        Some((bytes, turn))
    });
    let mut response = Body::from_stream(events).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    response
}
