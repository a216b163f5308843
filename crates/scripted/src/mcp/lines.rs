//! One message a line.

use super::Shared;
use super::answer::Act;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let (read, write) = stream.into_split();
    converse_on(read, write, shared).await;
}

/// Until either side ends.
pub(super) async fn converse_on(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    shared: Arc<Shared>,
) {
    let mut lines = BufReader::new(read).lines();
    let mut notices = shared.notices.subscribe();
    let (acts, mut todo) = mpsc::channel::<Vec<Act>>(64);
    loop {
        let due = tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return };
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                // Each call has its own pace.
                let (shared, acts) = (Arc::clone(&shared), acts.clone());
                tokio::spawn(async move {
                    let due = shared.answer(&message).await;
                    let _ = acts.send(due).await;
                });
                continue;
            }
            Ok(notice) = notices.recv() => vec![Act::Say(notice)],
            Some(due) = todo.recv() => due,
        };
        for act in due {
            let text = match act {
                Act::Say(message) => message.to_string(),
                Act::Babble(text) => text.to_owned(),
                Act::Close => return,
                Act::Nothing => continue,
            };
            let written = write.write_all(format!("{text}\n").as_bytes()).await;
            // Standard output keeps what it is given until it is told.
            if written.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    }
}
