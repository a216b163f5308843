//! `runyard backup` and `runyard restore`: the embedded store as one file, taken while a server runs, and brought back.

use super::terminal::{note, say};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::{self, Database, Places};
use crate::serve;
use ::store::sqlite::{Copied, CopyError, back_up, bring_back};
use clap::Args;
use domain::ports::clock::Clock;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; one that is there is left as it is
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// A file that `runyard backup` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    places: Places,
}

fn file(places: &Places, context: &Context) -> Result<PathBuf, Failure> {
    match config::load_database(places, &context.env, &context.here)? {
        Database::Sqlite(path) => Ok(path),
        Database::Postgres(_) => Err(Failure::new(
            "this is for the embedded store, and the configuration names PostgreSQL",
            "use PostgreSQL's own tools: pg_dump, or a base backup with archived WAL",
        )),
    }
}

fn failed(error: &CopyError) -> Failure {
    let mend = match error {
        CopyError::Exists { .. } => "name another file, or another data folder with --data DIR",
        CopyError::Missing { .. } => "look at the path, and at --data DIR",
        CopyError::Unwritable { .. } => {
            "look at the folder: it must exist, have space and belong to this user"
        }
        CopyError::Damaged { .. } => "take another backup",
        CopyError::Open(_) | CopyError::Store(_) => "`runyard doctor` looks at the store",
    };
    Failure::new("nothing was copied", mend).because(error)
}

fn told(copied: &Copied) -> String {
    format!(
        "{} threads, {} runs, {} of them open, {} bytes, checked",
        copied.threads, copied.runs, copied.open_runs, copied.bytes
    )
}

pub async fn backup(backup: Backup, context: &Context) -> Outcome {
    let from = file(&backup.places, context)?;
    let to = context.here.join(&backup.to);
    let done = tokio::task::spawn_blocking(move || back_up(&from, &to)).await;
    let copied =
        done.map_err(|error| Failure::new("the copying stopped", "run it again").because(&error))?;
    let copied = copied.map_err(|error| failed(&error))?;
    say(&format!("{}: {}", backup.to.display(), told(&copied)));
    note("keys of this machine (owner.key, secret.key) are not in it: keep them apart from it");
    Ok(ExitCode::SUCCESS)
}

pub async fn restore(restore: Restore, context: &Context) -> Outcome {
    let to = file(&restore.places, context)?;
    if let Some(folder) = to.parent() {
        serve::prepare_folder(folder)?;
    }
    let from = context.here.join(&restore.from);
    let copied = bring_back(&from, &to, SystemClock.now()).await;
    let copied = copied.map_err(|error| failed(&error))?;
    say(&format!("{}: {}", to.display(), told(&copied)));
    if copied.open_runs > 0 {
        note(&format!(
            "{} open runs are on hold: they may be going on where the backup was taken; `runyard runs held` lists them, `runyard runs resume` lets them go on",
            copied.open_runs
        ));
    }
    Ok(ExitCode::SUCCESS)
}
