//! `runyard runs`: runs that are kept from going on, directly in the store, also while a server runs on it.

use super::keys::{open, scope, store_failed};
use super::terminal::{brief, note, say};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Places;
use clap::{Args, Subcommand};
use domain::audit::{Actor, Deed, Entry};
use domain::ports::clock::Clock;
use domain::ports::store::{Expected, Page, Store, StoreError};
use domain::run::{Hold, Run};
use domain::{OrgScope, RunId};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs that are on hold
    Held {
        /// Print one line of JSON a run
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        org: Org,
    },
    /// Keep a run from going on; what is under way of it may still end elsewhere
    Pause {
        id: String,
        #[command(flatten)]
        org: Org,
    },
    /// Let a run go on, or all that are on hold
    Resume {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Every run of the org that is on hold
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        org: Org,
    },
}

#[derive(Debug, Args)]
pub struct Org {
    #[arg(long, default_value = crate::first_start::ORG)]
    org: String,
    #[command(flatten)]
    places: Places,
}

/// Tries of a change that others win against.
const TRIES: usize = 20;
const PAGE: u32 = 50;

pub async fn runs(command: Runs, context: &Context) -> Outcome {
    match command {
        Runs::Held { json, org } => {
            let scope = scope(&org.org)?;
            let store = open(org.places, context).await?;
            let held = held(&*store, &scope).await;
            store.close().await;
            list(&held?, json);
        }
        Runs::Pause { id, org } => {
            let scope = scope(&org.org)?;
            let store = open(org.places, context).await?;
            let paused = change(&*store, &scope, &id, true).await;
            store.close().await;
            say(&paused?);
        }
        Runs::Resume { id, all: _, org } => {
            let scope = scope(&org.org)?;
            let store = open(org.places, context).await?;
            let resumed = match id {
                Some(id) => change(&*store, &scope, &id, false).await,
                None => resume_all(&*store, &scope).await,
            };
            store.close().await;
            say(&resumed?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn held(store: &dyn Store, scope: &OrgScope) -> Result<Vec<Run>, Failure> {
    let mut all: Vec<Run> = Vec::new();
    loop {
        let below = all.last().map(|run| (run.created_at, run.id.uuid()));
        let page = Page { limit: PAGE, below };
        let found = store.list_held(scope, page).await.map_err(store_failed)?;
        let is_last = found.len() < PAGE as usize;
        all.extend(found);
        if is_last {
            return Ok(all);
        }
    }
}

async fn resume_all(store: &dyn Store, scope: &OrgScope) -> Result<String, Failure> {
    let all = held(store, scope).await?;
    for run in &all {
        change(store, scope, &run.id.to_string(), false).await?;
    }
    Ok(format!("{} runs go on", all.len()))
}

/// Puts a run on hold or lets it go, whatever others do with it meanwhile.
async fn change(
    store: &dyn Store,
    scope: &OrgScope,
    id: &str,
    pause: bool,
) -> Result<String, Failure> {
    let unknown = || {
        Failure::new(
            format!("{} has no run {}", scope.org(), brief(id, 60)),
            "`runyard runs held` lists those on hold",
        )
    };
    let id: RunId = id.parse().map_err(|_| unknown())?;
    for _ in 0..TRIES {
        let run = store
            .get_run(scope, id)
            .await
            .map_err(store_failed)?
            .ok_or_else(unknown)?;
        if run.status().is_terminal() {
            return Err(Failure::new(
                format!("the run is over: {}", run.status().as_str()),
                "there is nothing to pause or resume",
            ));
        }
        if run.hold.is_some() == pause {
            note("nothing changes");
            let now = if pause { "is on hold" } else { "goes on" };
            return Ok(format!("{id} {now}"));
        }
        let at = SystemClock.now();
        let (next, deed) = if pause {
            (
                run.held(Hold::Paused { at }),
                Deed::RunPaused { run_id: id },
            )
        } else {
            (run.released(at), Deed::RunResumed { run_id: id })
        };
        let expected = Expected {
            epoch: run.epoch,
            version: run.version,
        };
        let entry = Entry {
            at,
            actor: Actor::Operator,
            deed,
        };
        match store.set_hold(scope, &next, expected, &entry).await {
            Ok(()) => {
                let now = if pause {
                    "is on hold"
                } else {
                    "goes on within a second where a server runs"
                };
                return Ok(format!("{id} {now}"));
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(store_failed(error)),
        }
    }
    Err(Failure::new(
        "others change the run again and again",
        "run it again",
    ))
}

fn list(held: &[Run], as_json: bool) {
    for run in held {
        let (because, at) = match run.hold {
            Some(Hold::Paused { at }) => ("paused", at),
            Some(Hold::Restored { at }) => ("restored", at),
            None => continue,
        };
        if as_json {
            let line = json!({
                "run_id": run.id, "status": run.status().as_str(), "agent_type": run.agent_type,
                "because": because, "since": at, "created_at": run.created_at,
            });
            say(&line.to_string());
        } else {
            let since: String = at.to_string().chars().take(19).collect();
            say(&format!(
                "{}  {:<17}  {because} {since}  {}",
                run.id,
                run.status().as_str(),
                brief(&run.agent_type, 60)
            ));
        }
    }
    if held.is_empty() {
        note("no run is on hold");
    }
}
