//! Streamable HTTP, one request a connection.

use super::answer::Act;
use super::{Era, Shared, lock};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = exchange(stream, &shared).await;
        });
    }
}

async fn exchange(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        if let Some(request) = whole(&read) {
            break request;
        }
        let mut chunk = [0; 16 << 10];
        let bytes = stream.read(&mut chunk).await?;
        if bytes == 0 {
            return Ok(());
        }
        read.extend_from_slice(&chunk[..bytes]);
    };
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let is_post = head.starts_with("POST ");
    lock(&shared.headers).push(head);
    if !is_post {
        return reply(&mut stream, "405 Method Not Allowed", "text/plain", "").await;
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return reply(&mut stream, "400 Bad Request", "text/plain", "not JSON").await;
    };
    let mut gone = [0; 1];
    let acts = tokio::select! {
        acts = shared.answer(&message) => acts,
        // A client that goes away takes its call back.
        _ = stream.read(&mut gone) => {
            shared.cancelled.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
    };
    match acts.as_slice() {
        [Act::Close] => Ok(()),
        [Act::Nothing] => reply(&mut stream, "202 Accepted", "text/plain", "").await,
        [Act::Say(answer)] => {
            let is_refusal = !answer["error"].is_null();
            let status = match shared.era {
                Era::Modern if is_refusal => "404 Not Found",
                Era::Legacy if is_refusal => "400 Bad Request",
                Era::Modern | Era::Legacy => "200 OK",
            };
            let kind = "application/json";
            reply(&mut stream, status, kind, &answer.to_string()).await
        }
        [Act::Babble(text), ..] => reply(&mut stream, "200 OK", "application/json", text).await,
        many => {
            let mut events = String::new();
            for act in many {
                if let Act::Say(message) = act {
                    let _ = write!(events, "event: message\ndata: {message}\n\n");
                }
            }
            reply(&mut stream, "200 OK", "text/event-stream", &events).await
        }
    }
}

async fn reply(
    stream: &mut TcpStream,
    status: &str,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Head and body, once both are there.
fn whole(read: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = memchr::memmem::find(read, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let body = &read[end + 4..];
    let declared = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let declared = declared.unwrap_or(0);
    (body.len() >= declared).then(|| (head, body[..declared].to_vec()))
}
