//! `runyard move`: the embedded store moved into PostgreSQL, for when one machine is outgrown.

use super::terminal::{note, say};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::{self, Database, Places};
use crate::serve;
use ::store::transfer::{MoveError, Progress, Undone, move_store, undo_move};
use ::store::{Place, place};
use clap::Args;
use domain::ports::clock::Clock;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct Move {
    /// The store to move, as sqlite://PATH [default: the configured one]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// An empty database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Give up a move that is not done: the old store is in use again, the copied rows are taken away
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    places: Places,
}

/// Between lines that tell of the same table.
const PACE: Duration = Duration::from_secs(1);

pub async fn move_(command: Move, context: &Context) -> Outcome {
    if place(&command.to) != Place::Server {
        return Err(Failure::new(
            "a store is moved into PostgreSQL only",
            "write --to postgres://user:password@host:port/database; `runyard backup` copies into a file",
        ));
    }
    let from = source(&command, context)?;
    if command.undo {
        let undone = undo_move(&from, &command.to).await;
        let undone = undone.map_err(|error| failed(&error))?;
        say(&format!("{} is in use again", from.display()));
        if undone == Undone::Left {
            note(
                "the target could not be reached: drop that database before you move into it again",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = Teller::default();
    let mut watch = |progress| told.tell(progress);
    let (id, now) = (SystemClock.uuid(), SystemClock.now());
    let moved = move_store(&from, &command.to, id, now, &mut watch).await;
    let moved = moved.map_err(|error| failed(&error))?;
    say(&format!(
        "{} rows of {} tables moved and found equal; {} serves no more",
        moved.rows,
        moved.tables,
        from.display()
    ));
    note(
        "start servers with --database-url and the address that you moved to; secret.key, owner.key and signing.key stay in the data folder: every server needs the same ones",
    );
    Ok(ExitCode::SUCCESS)
}

fn source(command: &Move, context: &Context) -> Result<PathBuf, Failure> {
    let address = match &command.from {
        None => {
            return match config::load_database(&command.places, &context.env, &context.here)? {
                Database::Sqlite(path) => Ok(path),
                Database::Postgres(_) => Err(Failure::new(
                    "the configuration names PostgreSQL already",
                    "name the file to move with --from sqlite://PATH",
                )),
            };
        }
        Some(address) => address,
    };
    match place(address) {
        Place::File(path) => Ok(context.here.join(path)),
        Place::Server => Err(Failure::new(
            "only the embedded store is moved",
            "write --from sqlite://PATH; between PostgreSQL servers use pg_dump",
        )),
    }
}

fn failed(error: &MoveError) -> Failure {
    let mend = match error {
        MoveError::Missing { .. } => "look at --from, or at --data DIR",
        MoveError::NotEmpty { .. } => "make an empty database, and move into that",
        MoveError::OtherTarget { .. } => {
            "name that one again with --to, or give the move up with --undo"
        }
        MoveError::OtherMove => "move into another database, or end the move that is under way",
        MoveError::Done { .. } => "serve it with --database-url and that address",
        MoveError::NoMove => "there is nothing to undo",
        MoveError::Differs { .. } => {
            "the old store is as it was; give the move up with --undo, keep servers off the target, and move again"
        }
        MoveError::UnknownPlace => "end the move with the version that began it",
        MoveError::Open(error) => serve::mend(error),
        MoveError::Sqlite(_) | MoveError::Postgres(_) | MoveError::Stopped(_) => {
            "mend that, and run the same command again: it goes on from where it came to"
        }
    };
    Failure::new("the store is not moved", mend).because(error)
}

/// Says how far it is, one line a table and one a second.
#[derive(Default)]
struct Teller {
    last: Option<Instant>,
}

impl Teller {
    fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Copied { table, rows, of } => {
                let due = self.last.is_none_or(|last| last.elapsed() >= PACE);
                if rows >= of || due {
                    self.last = Some(Instant::now());
                    note(&format!("{table}: {rows} of {of} rows copied"));
                }
            }
            Progress::Checked { table, rows } if rows > 0 => {
                note(&format!("{table}: {rows} rows equal on both sides"));
            }
            Progress::Checked { .. } => {}
            Progress::Left => note("the old store is closed"),
        }
    }
}
