//! Plays a plan on a connection, and notices when the client goes.

use std::future::Future;
use std::io;

use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant, sleep_until};

use super::connection::{After, Connection};
use super::shared::Shared;
use crate::plan::{self, Plan, Step};
use crate::wire::FloodFrame;
use crate::{CutHow, Outcome};

/// What a client may send ahead while it waits for an answer, in bytes; more is a client that is
/// not one.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// How many bytes of a flood are written at once.
const FLOOD_BYTES: usize = 32 * 1024;

/// The client closed or reset the connection.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// When chunks are due.
struct Beats {
    between: Duration,
    due: Option<Instant>,
}

impl Beats {
    /// When the next chunk is due: counted from the one before, not from now.
    fn next(&mut self) -> Instant {
        let due = self.due.unwrap_or_else(Instant::now) + self.between;
        self.due = Some(due);
        due
    }
}

impl Connection {
    /// Plays a plan; `number` is the answer's own.
    pub(super) async fn play(
        &mut self,
        plan: &Plan,
        number: u64,
        shared: &Shared,
    ) -> (Outcome, After) {
        let digits = plan::digits(number);
        if let Some(patch) = plan.single_write() {
            self.output.clear();
            patch.write(&digits, &mut self.output);
            return match self.stream.write_all(&self.output).await {
                Ok(()) => (Outcome::Sent, After::Next),
                Err(_) => (Outcome::HungUp, After::Close),
            };
        }
        match self.steps(plan, &digits, shared).await {
            Ok(ended) => ended,
            Err(Gone) => (Outcome::HungUp, After::Close),
        }
    }

    async fn steps(
        &mut self,
        plan: &Plan,
        digits: &[u8; 16],
        shared: &Shared,
    ) -> Result<(Outcome, After), Gone> {
        let mut beats = Beats {
            between: plan.between,
            due: None,
        };
        for step in &plan.steps {
            match step {
                Step::Write(patch) => {
                    self.output.clear();
                    patch.write(digits, &mut self.output);
                    self.stream.write_all(&self.output).await?;
                    beats.due.get_or_insert_with(Instant::now);
                }
                Step::Wait(wait) => self.until(sleep_until(Instant::now() + *wait)).await?,
                Step::Beat => {
                    let due = beats.next();
                    self.until(sleep_until(due)).await?;
                }
                Step::Hold(gate) => {
                    self.until(shared.gate(gate)).await?;
                    beats.due = Some(Instant::now());
                }
                Step::Flood(flood) => self.flood(flood, &mut beats).await?,
                Step::Stall => self.until(std::future::pending()).await?,
                Step::Cut(CutHow::Fin) => return Ok((Outcome::Cut, After::Close)),
                Step::Cut(CutHow::Rst) => {
                    self.reset();
                    return Ok((Outcome::Cut, After::Close));
                }
            }
        }
        Ok((Outcome::Sent, After::Next))
    }

    async fn flood(&mut self, flood: &FloodFrame, beats: &mut Beats) -> Result<(), Gone> {
        let paced = !beats.between.is_zero();
        let count = flood.count.unwrap_or(u64::MAX);
        let mut index = 0;
        while index < count {
            if paced {
                let due = beats.next();
                self.until(sleep_until(due)).await?;
            }
            self.output.clear();
            while index < count {
                plan::chunk(flood.frame(index).as_bytes(), &mut self.output);
                index += 1;
                if paced || self.output.len() >= FLOOD_BYTES {
                    break;
                }
            }
            self.stream.write_all(&self.output).await?;
        }
        Ok(())
    }

    /// Waits for `what`, unless the client goes first.
    async fn until(&mut self, what: impl Future<Output = ()>) -> Result<(), Gone> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                biased;
                () = &mut what => return Ok(()),
                ready = self.stream.readable() => ready?,
            }
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Err(Gone),
                Ok(_) if self.input.len() > AHEAD_BYTES_MAX => return Err(Gone),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Gone),
            }
        }
    }
}
