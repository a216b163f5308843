//! `runyard runs export` and `import`: one run taken out of a store into a signed file, and brought into another's.

use super::{Org, change};
use crate::cli::keys::{open, scope, store_failed};
use crate::cli::terminal::{brief, note, say};
use crate::cli::{Context, Failure, Outcome};
use crate::clock::StoreClock;
use crate::config::{self, Database, Places};
use crate::run_file::{self, RunFile};
use crate::signing::{Signer, SigningKey};
use crate::{private_file, serve};
use ::store::transfer::{Brought, ParcelError, bring_in, take_out};
use clap::Args;
use domain::audit::{Actor, Deed, Entry};
use domain::ports::clock::Clock;
use domain::ports::store::{Page, RunFilter, Store};
use domain::run::{Hold, Run, RunStatus};
use domain::{OrgScope, RunId};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Export {
    /// A run that is on hold
    id: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    org: Org,
}

#[derive(Debug, Args)]
pub struct Import {
    /// A file that `runyard runs export` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The key of the server that signed it, as its export printed it; this server's own needs none
    #[arg(long, value_name = "KEY")]
    trust: Option<String>,
    #[command(flatten)]
    places: Places,
}

/// The store's address, for what opens it by that.
fn address(places: &Places, context: &Context) -> Result<String, Failure> {
    Ok(
        match config::load_database(places, &context.env, &context.here)? {
            Database::Sqlite(path) => path.to_string_lossy().into_owned(),
            Database::Postgres(url) => url.value.expose_secret().to_owned(),
        },
    )
}

fn signing_key(places: &Places, context: &Context) -> Result<SigningKey, Failure> {
    let data = config::load_data(places, &context.env, &context.here)?;
    serve::prepare_folder(&data)?;
    SigningKey::of(&data)
}

pub async fn export(export: Export, context: &Context) -> Outcome {
    let scope = scope(&export.org.org)?;
    let places = export.org.places;
    let (address, key) = (address(&places, context)?, signing_key(&places, context)?);
    let to = context.here.join(&export.to);
    let store = open(places, context).await?;
    let fenced = fence(&*store, &scope, &export.id).await;
    store.close().await;
    let id = fenced?;
    let parcel = take_out(&address, &scope, id).await;
    let parcel = parcel.map_err(|error| failed("the run stays where it is", &error))?;
    let (text, digest) = run_file::write(&parcel, &key);
    private_file::write(&to, text.as_bytes()).map_err(|error| {
        let mend = "look at the folder, and run the same command again: the run is not lost";
        Failure::new(format!("{} cannot be written", to.display()), mend).because(&error)
    })?;
    say(&format!(
        "{}: {id}, {} bytes, blake3 {digest}",
        export.to.display(),
        text.len()
    ));
    note(&format!(
        "it goes on where `runyard runs import --from {} --trust {}` brings it in, and nowhere else; what it holds is not encrypted",
        export.to.display(),
        key.signer()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Lets nothing change the run here any more. A run that was exported before may be exported again.
async fn fence(store: &dyn Store, scope: &OrgScope, id: &str) -> Result<RunId, Failure> {
    let run = super::find(store, scope, id).await?;
    match run.hold {
        Some(hold) if hold.is_elsewhere() => return Ok(run.id),
        Some(_) => {}
        None => {
            return Err(Failure::new(
                "the run may be going on",
                format!("put it on hold first: `runyard runs pause {}`", run.id),
            ));
        }
    }
    alone_on_its_thread(store, scope, &run).await?;
    let at = StoreClock::of(store).await.now();
    change(store, scope, id, |run| {
        run.hold.map(|_| {
            (
                run.held(Hold::Exported { at }),
                Deed::RunExported { run_id: run.id },
            )
        })
    })
    .await?;
    let fenced = super::find(store, scope, id).await?;
    if fenced.hold.is_some_and(Hold::is_elsewhere) {
        return Ok(run.id);
    }
    Err(Failure::new(
        "somebody let the run go on meanwhile",
        "put it on hold again, and export it then",
    ))
}

/// A thread goes with its run, so nothing else may be under way on it.
async fn alone_on_its_thread(
    store: &dyn Store,
    scope: &OrgScope,
    run: &Run,
) -> Result<(), Failure> {
    let Some(thread) = run.thread_id() else {
        return Ok(());
    };
    let queued = RunFilter {
        status: Some(RunStatus::Queued),
        thread: Some(thread),
        ..RunFilter::default()
    };
    let page = Page {
        limit: 2,
        below: None,
    };
    let waiting = store.list_runs(scope, &queued, page).await;
    let waiting = waiting.map_err(store_failed)?;
    let thread = store
        .get_thread(scope, thread)
        .await
        .map_err(store_failed)?;
    let active = thread.and_then(|thread| thread.active_run);
    let mut others = waiting.iter().map(|run| run.id).chain(active);
    match others.find(|other| *other != run.id) {
        Some(other) => Err(Failure::new(
            format!("the run {other} is under way on the same thread, which would go along"),
            "let it end or cancel it, and export then",
        )),
        None => Ok(()),
    }
}

pub async fn import(import: Import, context: &Context) -> Outcome {
    let from = context.here.join(&import.from);
    let text = std::fs::read_to_string(&from).map_err(|error| {
        Failure::new(
            format!("{} cannot be read", from.display()),
            "look at the path",
        )
        .because(&error)
    })?;
    let file = run_file::read(&text).map_err(|error| {
        Failure::new("nothing was imported", "export the run again").because(&error)
    })?;
    trusted(&file, &import, context)?;
    let address = address(&import.places, context)?;
    // Brings the schema up to date, and says what is wrong with the store.
    let store = open(import.places, context).await?;
    let at = StoreClock::of(&*store).await.now();
    store.close().await;
    let run_id = RunId::new(file.parcel.run_id);
    let entry = Entry {
        at,
        actor: Actor::Operator,
        deed: Deed::RunImported {
            run_id,
            digest: file.digest,
            signer: file.signer.to_string(),
        },
    };
    let brought = bring_in(&address, &file.parcel, Hold::Imported { at }, &entry).await;
    match brought.map_err(|error| failed("nothing was imported", &error))? {
        Brought::In => {}
        Brought::RunIsThere => {
            return Err(Failure::new(
                format!("the store has the run {run_id} already"),
                "if it was exported here and imported nowhere, `runyard runs resume` with --still-here lets it go on",
            ));
        }
        Brought::ThreadIsThere => {
            return Err(Failure::new(
                "the store has the run's thread already",
                "import it where neither is",
            ));
        }
    }
    say(&format!("{run_id} is here, on hold"));
    note(&format!(
        "`runyard runs resume {run_id} --org {}` lets it go on; this server must have its tools and a lane for its model",
        file.parcel.org
    ));
    Ok(ExitCode::SUCCESS)
}

fn trusted(file: &RunFile, import: &Import, context: &Context) -> Result<(), Failure> {
    let trusted = match &import.trust {
        None => signing_key(&import.places, context)?.signer(),
        Some(text) => Signer::parse(text.trim()).ok_or_else(|| {
            Failure::new(
                format!("{:?} is no key", brief(text, 80)),
                "give the 64 hexadecimal digits that the export printed",
            )
        })?,
    };
    if file.signer == trusted {
        return Ok(());
    }
    let mend = match import.trust {
        None => {
            "if that is the key that the other server's export printed, repeat this with --trust and the key"
        }
        Some(_) => "ask where the file is from: another server signed it",
    };
    Err(Failure::new(
        format!("the file is signed by {}", file.signer),
        mend,
    ))
}

fn failed(what: &str, error: &ParcelError) -> Failure {
    let mend = match error {
        ParcelError::NoRun => "`runyard runs held` lists the runs on hold",
        ParcelError::OtherSchema { .. } => "run the same version of Runyard at both ends",
        ParcelError::Unfit { .. } => "export it again",
        ParcelError::Open(error) => serve::mend(error),
        ParcelError::Store(_)
        | ParcelError::Sqlite(_)
        | ParcelError::Postgres(_)
        | ParcelError::Stopped(_) => "run the same command again",
    };
    Failure::new(what, mend).because(error)
}
