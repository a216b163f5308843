//! The inbox followed from a terminal. A stream that breaks is begun again, and what was shown is not shown twice.

use crate::cli::Failure;
use crate::cli::client::{Client, strange, text};
use crate::cli::frames::{Frame, Frames};
use crate::cli::terminal::{Style, brief, note, say};
use reqwest::Method;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

/// How often the stream is begun again without one frame in between, and the pause before.
const TRIES_MAX: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// Shows what is pending and what changes, until Ctrl-C.
pub async fn watch(client: &Client, as_json: bool, style: Style) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let mut tries = 0;
    loop {
        let outcome = tokio::select! {
            outcome = follow(client, &mut seen, as_json, style) => outcome,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match outcome {
            Ok(frames) if frames > 0 => tries = 0,
            Err(failure) if tries == 0 || tries >= TRIES_MAX => return Err(failure),
            Ok(_) | Err(_) => {}
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One stream, to its end. Returns how many frames came.
async fn follow(
    client: &Client,
    seen: &mut HashSet<(String, String)>,
    as_json: bool,
    style: Style,
) -> Result<u32, Failure> {
    let response = client
        .request(Method::GET, "approvals/stream", None)
        .await?;
    let mut response = client.accepted(response).await?;
    let mut frames = Frames::default();
    let mut count = 0;
    while let Ok(Some(bytes)) = response.chunk().await {
        let read = frames
            .push(&bytes)
            .map_err(|error| strange("the stream cannot be read").because(&error))?;
        for frame in read {
            count += 1;
            show(&frame, seen, as_json, style)?;
        }
    }
    Ok(count)
}

fn show(
    frame: &Frame,
    seen: &mut HashSet<(String, String)>,
    as_json: bool,
    style: Style,
) -> Result<(), Failure> {
    let data: Value = serde_json::from_str(&frame.data)
        .map_err(|error| strange("an event is no JSON").because(&error))?;
    let approval = &data["approval"];
    let id = text(approval, "id").unwrap_or_default();
    if !seen.insert((id.clone(), frame.event.clone())) {
        return Ok(());
    }
    if as_json {
        say(&frame.data);
    } else if frame.event == "approval_requested" {
        say(&super::show::line(approval, style));
        note(&style.dim(&format!("see all of it with: runyard approvals show {id}")));
    } else {
        let by = text(&approval["resolved_by"], "name").unwrap_or_default();
        let by = if by.is_empty() {
            by
        } else {
            format!(" by {}", brief(&by, 60))
        };
        say(&format!("{}{by}", super::show::line(approval, style)));
    }
    Ok(())
}
