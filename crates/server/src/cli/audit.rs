//! `runyard audit`: the record of decisions checked and exported, in the store itself, also while a server runs on it.

use super::keys::{open, scope, store_failed};
use super::terminal::{note, say};
use super::{Context, Failure, Outcome};
use crate::config::Places;
use ::store::audit::{START, verify, verify_end};
use clap::Subcommand;
use data_encoding::HEXLOWER;
use domain::audit::{Head, Link};
use domain::ports::store::Store;
use domain::{OrgId, OrgScope};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find the first entry that was altered, removed or moved; exit code 1 if there is one
    Verify {
        /// Only this org's record
        #[arg(long)]
        org: Option<String>,
        /// An earlier export: check it, and that the record still holds all of it
        #[arg(long, value_name = "FILE", requires = "org")]
        from: Option<PathBuf>,
        #[command(flatten)]
        places: Places,
    },
    /// Print an org's record, a line of JSON an entry; keep it, or its last line, somewhere else
    Export {
        #[arg(long, default_value = crate::first_start::ORG)]
        org: String,
        #[command(flatten)]
        places: Places,
    },
}

/// Entries read at once.
const PAGE: u32 = 500;

pub async fn audit(command: Audit, context: &Context) -> Outcome {
    match command {
        Audit::Verify { org, from, places } => {
            let store = open(places, context).await?;
            let orgs = match &org {
                Some(org) => vec![scope(org)?.org().clone()],
                None => store.system_list_orgs().await.map_err(store_failed)?,
            };
            let exported = from.as_deref().map(read_export).transpose()?;
            let mut whole = true;
            for org in orgs {
                whole &= check(&*store, org, exported.as_deref()).await?;
            }
            store.close().await;
            Ok(if whole {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Audit::Export { org, places } => {
            let scope = scope(&org)?;
            let store = open(places, context).await?;
            let mut after = 0;
            loop {
                let links = page(&*store, &scope, after).await?;
                let Some(last) = links.last() else { break };
                after = last.seq;
                for link in &links {
                    say(&line(&scope, link).to_string());
                }
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says what was found; true if the record is as it was written.
async fn check(store: &dyn Store, org: OrgId, exported: Option<&[Link]>) -> Result<bool, Failure> {
    let scope = OrgScope::new(org);
    let name = scope.org();
    let kept = store.audit_head(&scope).await.map_err(store_failed)?;
    let mut head = START;
    let mut found = Ok(());
    let mut exported_end = None;
    if let Some(links) = exported {
        match verify(START, links) {
            Ok(end) => exported_end = Some(end),
            Err(broken) => {
                say(&format!("{name}: the export is broken: {broken}"));
                return Ok(false);
            }
        }
    }
    loop {
        let links = page(store, &scope, head.seq).await?;
        if links.is_empty() {
            break;
        }
        // Where the export ends, the record must have been the same.
        let split = exported_end.map_or(0, |end: Head| {
            links.iter().take_while(|link| link.seq <= end.seq).count()
        });
        let (old, new) = links.split_at(split);
        found = verify(head, old).and_then(|at| {
            head = at;
            if let Some(end) = exported_end.filter(|end| end.seq == at.seq) {
                verify_end(at, end)?;
            }
            head = verify(at, new)?;
            Ok(())
        });
        if found.is_err() {
            break;
        }
    }
    let found = found.and_then(|()| {
        if let Some(end) = exported_end.filter(|end| end.seq > head.seq) {
            verify_end(head, end)?;
        }
        verify_end(head, kept.unwrap_or(START))
    });
    match found {
        Ok(()) => {
            say(&format!(
                "{name}: {} entries, whole; the last has hash {}",
                head.seq,
                HEXLOWER.encode(&head.hash)
            ));
            Ok(true)
        }
        Err(broken) => {
            say(&format!("{name}: {broken}"));
            note("restore the store from a backup, and compare it with an export kept elsewhere");
            Ok(false)
        }
    }
}

async fn page(store: &dyn Store, scope: &OrgScope, after: u64) -> Result<Vec<Link>, Failure> {
    store
        .list_audit(scope, after, PAGE)
        .await
        .map_err(store_failed)
}

fn line(scope: &OrgScope, link: &Link) -> Value {
    json!({
        "org": scope.org(),
        "seq": link.seq,
        "hash": HEXLOWER.encode(&link.hash),
        "body": link.body,
    })
}

fn read_export(path: &Path) -> Result<Vec<Link>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("{shown} cannot be read"), "check the path").because(&error)
    })?;
    let link = |text: &str| {
        let line: Value = serde_json::from_str(text).ok()?;
        Some(Link {
            seq: line["seq"].as_u64()?,
            body: line["body"].as_str()?.to_owned(),
            hash: HEXLOWER
                .decode(line["hash"].as_str()?.as_bytes())
                .ok()?
                .try_into()
                .ok()?,
        })
    };
    text.lines()
        .enumerate()
        .map(|(index, text)| {
            link(text).ok_or_else(|| {
                Failure::new(
                    format!("line {} of {shown} is no exported entry", index + 1),
                    "use a file that `runyard audit export` wrote",
                )
            })
        })
        .collect()
}
