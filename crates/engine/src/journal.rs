//! Takes the journal of a device that worked without the network: entries that the session has are compared, those that
//! follow are recorded, and one that follows something else is refused, naming where.

use crate::{Engine, EngineError};
use domain::journal::Entry;
use domain::limits::{JOURNAL_BYTES_MAX, JOURNAL_ENTRIES_MAX};
use domain::run::{Input, Run};
use domain::seeded::Seeded;
use domain::step::StepKind;
use domain::{OrgScope, RunId};
use std::collections::HashMap;
use std::sync::Arc;

/// An entry as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled {
    pub seq: u64,
    pub hash: String,
    pub step_index: u32,
}

/// Why nothing of a report was recorded.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Entries between the last that is here and the first that was sent are missing.
    #[error("the journal goes on with entry {expected}")]
    Gap { expected: u64, hash: String },
    /// Entry `seq` is another than the one that is here, or follows another.
    #[error("the journals part at entry {seq}")]
    Fork { seq: u64 },
    #[error("the journal is full")]
    Full,
    /// A tool of the server's cannot have been run by the device.
    #[error("entry {seq} says that the device ran {tool}")]
    ServerTool { seq: u64, tool: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Records the entries, which follow each other, after those that are here. The same entries again change nothing and
    /// are answered alike.
    ///
    /// # Errors
    /// As `JournalError` says; nothing is recorded then.
    pub async fn report_steps(
        self: &Arc<Self>,
        scope: &OrgScope,
        session: RunId,
        entries: &[Entry],
    ) -> Result<Vec<Journaled>, JournalError> {
        let mut writing = self.writing(scope, session).await;
        loop {
            let run = self.open_session(scope, session).await?;
            let mut answered = self.compare(scope, &run, entries).await?;
            let fresh = &entries[answered.len()..];
            let Some(first) = fresh.first() else {
                return Ok(answered);
            };
            if !run.journal().is_followed_by(first) {
                return Err(JournalError::Fork { seq: first.seq });
            }
            self.admit(scope, &run, fresh).await?;
            for (step_index, entry) in (run.next_step..).zip(fresh) {
                answered.push(Journaled {
                    seq: entry.seq,
                    hash: entry.hash.clone(),
                    step_index,
                });
            }
            let input = Input::ClientSteps(fresh.to_vec());
            if self.feed_session(scope, run, input).await? {
                return Ok(answered);
            }
            writing.again().await?;
        }
    }

    /// The entries that are here already, all the same as those sent.
    async fn compare(
        &self,
        scope: &OrgScope,
        run: &Run,
        entries: &[Entry],
    ) -> Result<Vec<Journaled>, JournalError> {
        let head = run.journal();
        let known = entries.partition_point(|entry| entry.seq <= head.seq);
        if let Some(first) = entries.first()
            && first.seq > head.seq + 1
        {
            let (expected, hash) = (head.seq + 1, head.hash);
            return Err(JournalError::Gap { expected, hash });
        }
        if known == 0 {
            return Ok(Vec::new());
        }
        let steps = self.store.run_steps(scope, run.id).await;
        let steps = steps.map_err(EngineError::Store)?;
        let mut recorded: HashMap<u64, Journaled> = HashMap::new();
        for step in steps {
            if let Some(mark) = step.reported {
                let journaled = Journaled {
                    seq: mark.seq,
                    hash: mark.hash,
                    step_index: step.step_index,
                };
                recorded.insert(mark.seq, journaled);
            }
        }
        let same = |entry: &Entry| {
            let found = recorded.remove(&entry.seq);
            found
                .filter(|found| found.hash == entry.hash || Seeded::ForkAccepted.is_on())
                .ok_or(JournalError::Fork { seq: entry.seq })
        };
        entries[..known].iter().map(same).collect()
    }

    async fn admit(
        &self,
        scope: &OrgScope,
        run: &Run,
        fresh: &[Entry],
    ) -> Result<(), JournalError> {
        let head = run.journal();
        let bytes: u64 = fresh.iter().map(|entry| entry.bytes).sum();
        if head.seq + fresh.len() as u64 > JOURNAL_ENTRIES_MAX
            || head.bytes + bytes > JOURNAL_BYTES_MAX
        {
            return Err(JournalError::Full);
        }
        let agent = self.agent_of(run).await.map_err(EngineError::Store)?;
        let agent = agent.ok_or(EngineError::NotFound)?;
        let specs = self.tools.specs(scope, &agent);
        // That it failed is what a device without the network can well say of such a call.
        let claims = |entry: &&Entry| {
            let step = &entry.step;
            step.kind == StepKind::ToolCall
                && !step.is_error
                && specs.iter().any(|spec| spec.name == step.name)
        };
        match fresh.iter().find(claims) {
            None => Ok(()),
            Some(entry) => Err(JournalError::ServerTool {
                seq: entry.seq,
                tool: entry.step.name.clone(),
            }),
        }
    }
}
