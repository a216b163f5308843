//! `runyard webhooks`: messages to other systems, looked at and sent again, in the store itself, also while a server
//! runs on it.

use super::keys::{open, scope, store_failed};
use super::terminal::{brief, note, say};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Places;
use clap::Subcommand;
use domain::ports::clock::Clock;
use domain::webhook::{DeliveryState, Posted};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List an org's messages, newest first; those that were delivered are kept for a week
    List {
        #[arg(long, default_value = crate::first_start::ORG)]
        org: String,
        /// Only those that are pending, delivered or dead
        #[arg(long)]
        state: Option<String>,
        /// Print one line of JSON a message, its body included
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Send a message again
    Replay {
        /// The message's id, as `list` shows it
        id: String,
        #[arg(long, default_value = crate::first_start::ORG)]
        org: String,
        #[command(flatten)]
        places: Places,
    },
}

/// Messages read at once.
const PAGE: u32 = 200;

pub async fn webhooks(command: Webhooks, context: &Context) -> Outcome {
    match command {
        Webhooks::List {
            org,
            state,
            json,
            places,
        } => {
            let scope = scope(&org)?;
            let state = state.as_deref().map(parse_state).transpose()?;
            let store = open(places, context).await?;
            let mut below = None;
            loop {
                let page = store
                    .list_deliveries(&scope, state, below, PAGE)
                    .await
                    .map_err(store_failed)?;
                for posted in &page {
                    say(&if json {
                        described(posted).to_string()
                    } else {
                        line(posted)
                    });
                }
                below = page.last().map(|posted| posted.seq);
                if page.len() < PAGE as usize {
                    break;
                }
            }
            store.close().await;
        }
        Webhooks::Replay { id, org, places } => {
            let scope = scope(&org)?;
            let missing = || {
                Failure::new(
                    format!("org {org} has no message {id}"),
                    "`runyard webhooks list --org ORG` shows the ids",
                )
            };
            let uuid = Uuid::try_parse(&id).map_err(|_| missing())?;
            let store = open(places, context).await?;
            let replayed = store
                .replay_delivery(&scope, uuid, SystemClock.now())
                .await
                .map_err(store_failed);
            store.close().await;
            if !replayed? {
                return Err(missing());
            }
            note(&format!("message {id} is sent again by a running server"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_state(text: &str) -> Result<DeliveryState, Failure> {
    let states = DeliveryState::ALL;
    let state = states.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| {
        Failure::new(
            format!("{text:?} is no state of a message"),
            "use pending, delivered or dead",
        )
    })
}

fn line(posted: &Posted) -> String {
    let error = posted.last_error.as_deref().unwrap_or_default();
    format!(
        "{}  {:<9}  {:<18}  {}  attempts {}  {}",
        posted.delivery.id,
        posted.state.as_str(),
        posted.delivery.topic.as_str(),
        brief(&posted.delivery.endpoint, 64),
        posted.attempts,
        brief(error, 80),
    )
}

fn described(posted: &Posted) -> Value {
    json!({
        "id": posted.delivery.id,
        "seq": posted.seq,
        "webhook": posted.delivery.endpoint,
        "event": posted.delivery.topic,
        "state": posted.state.as_str(),
        "attempts": posted.attempts,
        "created_at": posted.delivery.at,
        "due_at": posted.due_at,
        "delivered_at": posted.delivered_at,
        "last_error": posted.last_error,
        "body": posted.delivery.body,
    })
}
