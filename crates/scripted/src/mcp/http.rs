//! Streamable HTTP, one request a connection.

use super::answer::Act;
use super::oauth::AuthServer;
use super::{Era, Shared, lock};
use serde_json::{Value, json};
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
    let Some((head, body)) = request(&mut stream).await? else {
        return Ok(());
    };
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let is_post = head.starts_with("POST ");
    lock(&shared.headers).push(head.clone());
    let guard = lock(&shared.guard).clone();
    if let Some(guard) = guard
        && let Some(refusal) = refusal(&guard, &head, &body)
    {
        return refusal.tell(&mut stream).await;
    }
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

/// What a server that takes tokens answers instead.
struct Refusal {
    status: &'static str,
    challenge: Option<String>,
    body: String,
}

impl Refusal {
    async fn tell(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut headers = vec![("content-type", "application/json")];
        if let Some(challenge) = &self.challenge {
            headers.push(("www-authenticate", challenge));
        }
        reply_with(stream, self.status, &headers, &self.body).await
    }
}

/// RFC 9728: the metadata of the resource are told to everybody, and who has no token is told where they are.
fn refusal(guard: &AuthServer, head: &str, body: &[u8]) -> Option<Refusal> {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let base = format!("http://{}", header("host").unwrap_or_default());
    if head.starts_with("GET /.well-known/oauth-protected-resource") {
        let metadata = json!({
            "resource": format!("{base}/mcp"),
            "authorization_servers": [guard.issuer()],
            "scopes_supported": ["read"],
        });
        return Some(Refusal {
            status: "200 OK",
            challenge: None,
            body: metadata.to_string(),
        });
    }
    if head.starts_with("GET /.well-known/") {
        return Some(Refusal {
            status: "404 Not Found",
            challenge: None,
            body: String::new(),
        });
    }
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| guard.is_good(token)) {
        let challenge = format!(
            "Bearer error=\"invalid_token\", resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\""
        );
        return Some(Refusal {
            status: "401 Unauthorized",
            challenge: Some(challenge),
            body: String::new(),
        });
    }
    let scope = guard.demanded()?;
    let message = serde_json::from_slice::<Value>(body).ok()?;
    (message["method"] == "tools/call").then(|| Refusal {
        status: "403 Forbidden",
        challenge: Some(format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scope}\""
        )),
        body: String::new(),
    })
}

/// The next request on a connection; `None` if it ends before.
pub(super) async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    loop {
        if let Some(request) = whole(&read) {
            return Ok(Some(request));
        }
        let mut chunk = [0; 16 << 10];
        let bytes = stream.read(&mut chunk).await?;
        if bytes == 0 {
            return Ok(None);
        }
        read.extend_from_slice(&chunk[..bytes]);
    }
}

async fn reply(
    stream: &mut TcpStream,
    status: &str,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    reply_with(stream, status, &[("content-type", kind)], body).await
}

/// Answers and closes.
pub(super) async fn reply_with(
    stream: &mut TcpStream,
    status: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(
        head,
        "content-length: {}\r\nconnection: close\r\n\r\n",
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
