//! The one writer: a thread that takes every job that waits, does them in one transaction, and answers them all after
//! its commit. A job that is refused or fails is undone alone. Nothing is answered before the disk has it.
//!
//! Jobs look before they write, so one that is refused has nothing to undo, and a group needs no savepoints, which would
//! copy every page that each job touches. Where a job fails after it wrote, its whole group is done again, apart.

#[cfg(test)]
mod tests;

use super::fault::{Fault, Reach, Trouble, Work, reach, store_error};
use domain::crash::crash_point;
use domain::ports::store::{StoreError, StoreResult};
use domain::seeded::Seeded;
use rusqlite::Connection;
use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Jobs that share a commit.
const GROUP_MAX: usize = 512;
/// Under load a commit begins no sooner than this after the one before it. Each writes the last page of every table and
/// index whatever the number of its jobs, so on a quick disk many small groups cost more than they hasten.
const SPACING: Duration = Duration::from_micros(800);
/// Jobs that came during one commit and so count as load.
const LOAD: usize = 3;
/// Jobs that may wait; more are refused at once, which is better than answering them too late.
const WAITING_MAX: usize = 16_384;

pub(super) struct Writer {
    jobs: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Stop,
}

/// A piece of work that waits for the disk. In a trait because each has its own type of result.
trait Job: Send {
    /// May be done again after it was undone.
    fn run(&mut self, db: &Connection) -> Ran;
    fn answer(self: Box<Self>);
    /// Answers with an error, whatever the job itself came to.
    fn fail(self: Box<Self>, error: StoreError);
}

enum Ran {
    Keep,
    Undo,
    /// The transaction of the whole group is lost.
    Lost(rusqlite::Error),
}

struct Write<T, F> {
    work: F,
    result: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Work<T> + Send,
{
    fn run(&mut self, db: &Connection) -> Ran {
        match (self.work)(db) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Ran::Keep
            }
            Err(Fault::Sql(error)) if reach(&error) != Reach::Job || db.is_autocommit() => {
                Ran::Lost(error)
            }
            Err(fault) => {
                self.result = Some(Err(fault.into()));
                Ran::Undo
            }
        }
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // The caller may have gone away; the write stands.
            let _ = self.reply.send(result);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

impl Writer {
    /// `lock` is released when the connection is closed, and not before.
    pub fn start(db: Connection, lock: Option<File>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                serve(&db, &queue);
                drop(db);
                drop(lock);
            })?;
        Ok(Self {
            jobs,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Does `work` in a shared transaction and returns once it is on disk. A caller that stops waiting does not stop it.
    pub async fn write<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Work<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            work,
            result: None,
            reply,
        });
        self.jobs.try_send(Message::Job(job)).map_err(|error| {
            let trouble = match error {
                TrySendError::Full(_) => Trouble::QueueFull,
                TrySendError::Disconnected(_) => Trouble::Closed,
            };
            StoreError::Unavailable(Box::new(trouble))
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable(Box::new(Trouble::Closed))))
    }

    /// Waits for the jobs before it and closes the connection.
    pub async fn close(&self) {
        if let Some(thread) = self.stop() {
            // A writer that panicked has told its callers already.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn stop(&self) -> Option<JoinHandle<()>> {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        // Fails only if the thread is gone already.
        let _ = self.jobs.send(Message::Stop);
        Some(thread)
    }
}

impl Drop for Writer {
    /// Joins, so that whoever opens the file next does not meet the lock.
    fn drop(&mut self) {
        if let Some(thread) = self.stop() {
            let _ = thread.join();
        }
    }
}

fn serve(db: &Connection, queue: &Receiver<Message>) {
    let mut disk_failed = false;
    let mut stopped = false;
    let mut group: Vec<Box<dyn Job>> = Vec::with_capacity(GROUP_MAX);
    let mut begun = Instant::now();
    while !stopped {
        match queue.recv() {
            Ok(Message::Job(job)) => group.push(job),
            Ok(Message::Stop) | Err(_) => return,
        }
        stopped = take_waiting(queue, &mut group);
        let early = SPACING.saturating_sub(begun.elapsed());
        if !stopped && group.len() >= LOAD && !early.is_zero() {
            // Asleep rather than waiting for jobs: each that comes would wake the thread.
            std::thread::sleep(early);
            stopped = take_waiting(queue, &mut group);
        }
        begun = Instant::now();
        if disk_failed {
            for job in group.drain(..) {
                job.fail(StoreError::Unavailable(Box::new(Trouble::DiskFailed)));
            }
            continue;
        }
        disk_failed = commit_group(db, &mut group) == Reach::Store;
        if disk_failed {
            tracing::error!(
                "a disk sync failed: no write is accepted until the process is restarted"
            );
        }
    }
}

/// Adds the jobs that wait to `group`. True if the writer is to stop after them.
fn take_waiting(queue: &Receiver<Message>, group: &mut Vec<Box<dyn Job>>) -> bool {
    while group.len() < GROUP_MAX {
        match queue.try_recv() {
            Ok(Message::Job(job)) => group.push(job),
            Ok(Message::Stop) => return true,
            Err(_) => return false,
        }
    }
    false
}

/// Leaves `group` empty. Returns how far the worst error reached.
fn commit_group(db: &Connection, group: &mut Vec<Box<dyn Job>>) -> Reach {
    crash_point("store.before_begin");
    match run_group(db, group) {
        Ok(()) => {
            crash_point("store.after_commit");
            for job in group.drain(..) {
                job.answer();
            }
            Reach::Job
        }
        Err(error) => {
            if !db.is_autocommit() {
                // Cannot fail in a way that leaves a transaction open: SQLite rolls back in memory.
                let _ = db.execute_batch("ROLLBACK");
            }
            let reach = reach(&error);
            tracing::warn!(error = %error, jobs = group.len(), "a group of writes failed");
            for job in group.drain(..) {
                job.fail(same_error(&error, reach));
            }
            reach
        }
    }
}

fn run_group(db: &Connection, group: &mut Vec<Box<dyn Job>>) -> rusqlite::Result<()> {
    let run = |sql: &str| db.prepare_cached(sql)?.execute([]).map(|_| ());
    run("BEGIN IMMEDIATE")?;
    if !run_together(db, group)? {
        run("ROLLBACK")?;
        run("BEGIN IMMEDIATE")?;
        for job in group.iter_mut() {
            run("SAVEPOINT job")?;
            match job.run(db) {
                Ran::Keep => run("RELEASE job")?,
                Ran::Undo => {
                    run("ROLLBACK TO job")?;
                    run("RELEASE job")?;
                }
                Ran::Lost(error) => return Err(error),
            }
        }
    }
    crash_point("store.before_commit");
    if Seeded::AnsweredBeforeCommit.is_on() {
        group.drain(..).for_each(|job| job.answer());
    }
    run("COMMIT")
}

/// False where a job would have to be undone alone.
fn run_together(db: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<bool> {
    for job in group {
        let before = db.total_changes();
        match job.run(db) {
            Ran::Keep => {}
            Ran::Undo if db.total_changes() == before => {}
            Ran::Undo => return Ok(false),
            Ran::Lost(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Each job of a failed group gets the error anew. After a failed sync nobody knows what a restart will find.
fn same_error(error: &rusqlite::Error, reach: Reach) -> StoreError {
    let copy = match error {
        rusqlite::Error::SqliteFailure(cause, message) => {
            rusqlite::Error::SqliteFailure(*cause, message.clone())
        }
        _ => return StoreError::Unavailable(Box::new(Trouble::Closed)),
    };
    match reach {
        Reach::Store => StoreError::UnknownOutcome(Box::new(copy)),
        Reach::Job | Reach::Group => store_error(copy),
    }
}
