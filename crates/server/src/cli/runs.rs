//! `runyard runs`: runs that are kept from going on, directly in the store, also while a server runs on it.

mod carry;

use super::keys::{open, scope, store_failed};
use super::terminal::{brief, note, say};
use super::{Context, Failure, Outcome};
use crate::clock::StoreClock;
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
        /// Every run of the org that is on hold and was not exported
        #[arg(long, conflicts_with = "still_here")]
        all: bool,
        /// The run was exported, and its file was brought in nowhere and never will be
        #[arg(long)]
        still_here: bool,
        #[command(flatten)]
        org: Org,
    },
    /// Write a run that is on hold into one signed file, to go on at another server; here it never goes on
    Export(carry::Export),
    /// Bring an exported run in, on hold
    Import(carry::Import),
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
            let paused = pause(&*store, &scope, &id).await;
            store.close().await;
            say(&paused?);
        }
        Runs::Resume {
            id,
            all: _,
            still_here,
            org,
        } => {
            let scope = scope(&org.org)?;
            let store = open(org.places, context).await?;
            let resumed = match id {
                Some(id) => resume(&*store, &scope, &id, still_here).await,
                None => resume_all(&*store, &scope).await,
            };
            store.close().await;
            say(&resumed?);
        }
        Runs::Export(export) => return carry::export(export, context).await,
        Runs::Import(import) => return carry::import(import, context).await,
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
    let mut resumed = 0;
    for run in held(store, scope).await? {
        if !run.hold.is_some_and(Hold::is_elsewhere) {
            resume(store, scope, &run.id.to_string(), false).await?;
            resumed += 1;
        }
    }
    Ok(format!("{resumed} runs go on"))
}

async fn pause(store: &dyn Store, scope: &OrgScope, id: &str) -> Result<String, Failure> {
    let at = StoreClock::of(store).await.now();
    let run = change(store, scope, id, |run| match run.hold {
        Some(_) => None,
        None => Some((
            run.held(Hold::Paused { at }),
            Deed::RunPaused { run_id: run.id },
        )),
    })
    .await?;
    Ok(format!("{run} is on hold"))
}

async fn resume(
    store: &dyn Store,
    scope: &OrgScope,
    id: &str,
    still_here: bool,
) -> Result<String, Failure> {
    let found = find(store, scope, id).await?;
    if found.hold.is_some_and(Hold::is_elsewhere) && !still_here {
        return Err(Failure::new(
            "the run was exported and goes on elsewhere",
            "if its file was brought in nowhere and never will be, resume it with --still-here",
        ));
    }
    let at = StoreClock::of(store).await.now();
    let run = change(store, scope, id, |run| {
        run.hold
            .filter(|hold| still_here || !hold.is_elsewhere())
            .map(|_| (run.released(at), Deed::RunResumed { run_id: run.id }))
    })
    .await?;
    Ok(format!("{run} goes on within a second where a server runs"))
}

async fn find(store: &dyn Store, scope: &OrgScope, id: &str) -> Result<Run, Failure> {
    let unknown = || {
        Failure::new(
            format!("{} has no run {}", scope.org(), brief(id, 60)),
            "`runyard runs held` lists those on hold",
        )
    };
    let id: RunId = id.parse().map_err(|_| unknown())?;
    let run = store.get_run(scope, id).await.map_err(store_failed)?;
    run.ok_or_else(unknown)
}

/// Changes what keeps a run where it is, whatever others do with it meanwhile. `next` says what it becomes; `None` where
/// nothing has to be done.
async fn change(
    store: &dyn Store,
    scope: &OrgScope,
    id: &str,
    next: impl Fn(&Run) -> Option<(Run, Deed)>,
) -> Result<RunId, Failure> {
    for _ in 0..TRIES {
        let run = find(store, scope, id).await?;
        if run.status().is_terminal() {
            return Err(Failure::new(
                format!("the run is over: {}", run.status().as_str()),
                "there is nothing to pause or resume",
            ));
        }
        let Some((next, deed)) = next(&run) else {
            note("nothing changes");
            return Ok(run.id);
        };
        let expected = Expected {
            epoch: run.epoch,
            version: run.version,
        };
        let entry = Entry {
            at: StoreClock::of(store).await.now(),
            actor: Actor::Operator,
            deed,
        };
        match store.set_hold(scope, &next, expected, &entry).await {
            Ok(()) => return Ok(run.id),
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
            Some(Hold::Exported { at }) => ("exported", at),
            Some(Hold::Imported { at }) => ("imported", at),
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
