//! Applies an input and commits what follows, whatever the store and others do meanwhile.

use super::Driver;
use domain::ports::store::{Committed, Expected, StoreError};
use domain::run::{Input, Refused, Run, Transition};
use domain::seeded::Seeded;
use std::time::Duration;

/// The longest pause between two tries of a store that is not available.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a driver stops before its run is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    /// Another worker or a terminal state has the run now.
    #[error("the run is no longer this worker's")]
    Lost,
    /// A defect: the state refused what the driver fed it.
    /// A grant that the transition uses is gone; nothing was written.
    #[error("a grant can no longer let the call through")]
    GrantGone,
    #[error("the run refused its driver's input")]
    Refused(#[from] Refused),
    #[error("the store failed")]
    Store(#[source] StoreError),
}

impl Driver {
    /// On return the input's consequences are on disk and told to watchers. A write that loses against another's is made
    /// again from the state that won, as long as the run is still this worker's.
    pub(super) async fn commit(&mut self, input: Input) -> Result<(), Halt> {
        while !self.try_commit(&input).await? {}
        Ok(())
    }

    /// As `commit`, but false, with the state that won taken over, if another's write came first.
    pub(super) async fn try_commit(&mut self, input: &Input) -> Result<bool, Halt> {
        let mut pause = Duration::from_millis(20);
        loop {
            let transition = self.run.apply(input.clone(), self.engine.clock.now())?;
            let transition = self.engine.addressed(transition);
            let expected = Expected {
                epoch: self.run.epoch,
                version: self.run.version,
            };
            let holder = Self::holder(&transition.run);
            match self
                .engine
                .commit_run(&self.scope, &transition, expected, holder)
                .await
            {
                Ok(committed) => {
                    self.accept(transition, committed);
                    return Ok(true);
                }
                Err(StoreError::Stale) => {
                    self.reload().await?;
                    return Ok(false);
                }
                Err(StoreError::GrantGone) => return Err(Halt::GrantGone),
                Err(StoreError::UnknownOutcome(source)) => {
                    tracing::warn!(run.id = %self.run.id, error = %source, "a commit's answer was lost");
                    if Seeded::LostAnswerTrusted.is_on() || self.landed(&transition).await? {
                        self.accept(transition, Committed { promoted: None });
                        return Ok(true);
                    }
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_))) => {
                    tracing::warn!(run.id = %self.run.id, error = %error, "the store is not available; trying again");
                    self.rest(pause).await?;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error @ (StoreError::Corrupt { .. } | StoreError::Rejected(_))) => {
                    return Err(Halt::Store(error));
                }
            }
        }
    }

    fn accept(&mut self, transition: Transition, committed: Committed) {
        self.engine.rang(&transition);
        self.run = transition.run;
        self.history.extend(transition.messages);
        if !transition.approvals.is_empty() || !transition.closed.is_empty() {
            self.engine.inbox_moved(self.scope.org());
        }
        if self.run.status().is_terminal() {
            // Before anybody is told of the end: the next run may begin at once, and would read it all again.
            self.keep_history();
        }
        self.seat.feed.commit(transition.records);
        if let Some(promoted) = committed.promoted {
            self.engine.wake(self.scope.org(), promoted);
        }
    }

    /// Leaves the history to the thread's next run.
    pub(crate) fn keep_history(&mut self) {
        let Some(thread) = self.run.thread_id() else {
            return;
        };
        let history = std::mem::take(&mut self.history);
        if !history.messages().is_empty() {
            self.engine.histories.keep(&self.scope, thread, history);
        }
    }

    /// Somebody says that another process wrote the run. True if that is so and what it wrote was taken over.
    ///
    /// # Errors
    /// `Lost` if the run is not this worker's any more.
    pub(super) async fn look(&mut self) -> Result<bool, Halt> {
        let fresh = self.stored().await?;
        if fresh.epoch == self.run.epoch && fresh.version == self.run.version {
            return Ok(false);
        }
        self.reload().await?;
        Ok(true)
    }

    /// Fails with `Lost` if the run is over or another worker has it.
    pub(super) async fn still_ours(&self) -> Result<(), Halt> {
        let fresh = self.stored().await?;
        if fresh.epoch != self.run.epoch || fresh.status().is_terminal() {
            return Err(Halt::Lost);
        }
        Ok(())
    }

    /// Takes over what another wrote, if the run is still this worker's to drive.
    async fn reload(&mut self) -> Result<(), Halt> {
        let fresh = self.stored().await?;
        let is_ours = fresh.epoch == self.run.epoch || Seeded::ZombieGoesOn.is_on();
        if !is_ours || fresh.status().is_terminal() {
            return Err(Halt::Lost);
        }
        if let Some(thread) = fresh.thread_id() {
            let histories = &self.engine.histories;
            self.history = histories
                .read(&self.engine.store, &self.scope, thread)
                .await
                .map_err(Halt::Store)?;
        }
        let after = self.run.next_seq - 1;
        let missed = self
            .engine
            .store
            .read_log(&self.scope, self.run.id, after, u32::MAX)
            .await
            .map_err(Halt::Store)?;
        if !Seeded::OthersEventsUntold.is_on() {
            self.seat.feed.commit(missed);
        }
        self.run = fresh;
        Ok(())
    }

    /// Did a commit whose answer was lost happen?
    async fn landed(&mut self, transition: &Transition) -> Result<bool, Halt> {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.engine.store.get_run(&self.scope, self.run.id).await {
                Ok(Some(run)) if run == transition.run => return Ok(true),
                Ok(Some(run)) if run.epoch == self.run.epoch && run.version == self.run.version => {
                    return Ok(false);
                }
                Ok(Some(_)) => return self.reload().await.map(|()| false),
                Ok(None) => return Err(Halt::Lost),
                Err(_) => self.rest(pause).await?,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn stored(&self) -> Result<Run, Halt> {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.engine.store.get_run(&self.scope, self.run.id).await {
                Ok(Some(run)) => return Ok(run),
                Ok(None) => return Err(Halt::Lost),
                Err(StoreError::Unavailable(_) | StoreError::Full(_)) => self.rest(pause).await?,
                Err(error) => return Err(Halt::Store(error)),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    pub(super) async fn rest(&self, pause: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.engine.stopping.cancelled() => Err(Halt::Lost),
        }
    }
}
