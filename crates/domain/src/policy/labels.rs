//! What a tool touches, as far as it matters for what a run may do next.

use crate::seeded::Seeded;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Its results hold what not everybody may know.
    ReadsPrivate,
    /// Its results hold text that somebody outside may have written.
    ReadsUntrusted,
    /// It changes something, or sends something out.
    ChangesState,
}

impl Label {
    pub const ALL: [Self; 3] = [Self::ReadsPrivate, Self::ReadsUntrusted, Self::ChangesState];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadsPrivate => "reads_private",
            Self::ReadsUntrusted => "reads_untrusted",
            Self::ChangesState => "changes_state",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::ReadsPrivate => 1,
            Self::ReadsUntrusted => 2,
            Self::ChangesState => 4,
        }
    }
}

/// A set of labels.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Label>", into = "Vec<Label>")]
pub struct Labels(u8);

impl Labels {
    pub const NONE: Self = Self(0);

    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    pub fn has(self, label: Label) -> bool {
        self.0 & label.bit() != 0
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if Seeded::LabelsForgotten.is_on() {
            return other;
        }
        Self(self.0 | other.0)
    }

    /// What stays in a conversation: a change is over, what was read is still there to be acted upon.
    #[must_use]
    pub fn read(self) -> Self {
        Self(self.0 & !Label::ChangesState.bit())
    }

    pub fn is_complete(self) -> bool {
        Label::ALL.into_iter().all(|label| self.has(label))
    }

    pub fn iter(self) -> impl Iterator<Item = Label> {
        Label::ALL.into_iter().filter(move |label| self.has(*label))
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        Self(labels.into_iter().fold(0, |bits, label| bits | label.bit()))
    }
}

impl From<Vec<Label>> for Labels {
    fn from(labels: Vec<Label>) -> Self {
        labels.into_iter().collect()
    }
}

impl From<Labels> for Vec<Label> {
    fn from(labels: Labels) -> Self {
        labels.iter().collect()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Whether a call must be asked about because private data, untrusted content and a change of state meet in its run:
/// it is the one that completes the three, or it changes something once they are complete. `met` is what the run has
/// touched so far, its conversation included.
pub fn completes(met: Labels, call: Labels) -> bool {
    if !met.and(call).is_complete() {
        return false;
    }
    !met.is_complete() || call.has(Label::ChangesState)
}
