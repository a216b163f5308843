//! What keeps a run where it is until an operator lets it go on. A hold lies beside the state and changes nothing of it:
//! the run can still be read and, unless it went elsewhere, cancelled and decided, but no worker takes it. It does not know
//! who sets it.

use super::{Run, RunState};
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why a run does not go on, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Hold {
    /// An operator paused it.
    Paused { at: Timestamp },
    /// Its store is a copy; the run may be going on where the copy was taken.
    Restored { at: Timestamp },
    /// It was written into a file, to go on elsewhere. Nothing is taken here any more that would change it.
    Exported { at: Timestamp },
    /// It came here in a file.
    Imported { at: Timestamp },
}

impl Hold {
    pub fn at(self) -> Timestamp {
        match self {
            Self::Paused { at }
            | Self::Restored { at }
            | Self::Exported { at }
            | Self::Imported { at } => at,
        }
    }

    /// True if what counts of the run is no longer here.
    pub fn is_elsewhere(self) -> bool {
        matches!(self, Self::Exported { .. })
    }
}

impl Run {
    /// The run under this hold, with a new epoch: whoever held it finds its writes refused.
    #[must_use]
    pub fn held(&self, hold: Hold) -> Self {
        Self {
            hold: Some(hold),
            // An earlier hold has had its time.
            ..self.released(hold.at())
        }
    }

    /// The run without its hold. The time that it was held does not count into its time budget; while it waited for a
    /// person too, that wait is counted already.
    #[must_use]
    pub fn released(&self, at: Timestamp) -> Self {
        let held = match (self.hold, &self.state) {
            (Some(hold), RunState::Running { .. }) => at.since(hold.at()),
            _ => Duration::ZERO,
        };
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        Self {
            hold: None,
            waited_us: self.waited_us.saturating_add(held),
            epoch: self.epoch + 1,
            version: self.version + 1,
            ..self.clone()
        }
    }
}
