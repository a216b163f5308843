//! The kinds of clients: what each asks for, how it behaves where the thread is busy, and what it wants done in the world.

use crate::history::Wish;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A SQL tool that may be repeated with its key.
    Record,
    /// An HTTP tool that may not be repeated.
    Unsafe,
    /// An HTTP tool that may be repeated with its key.
    Keyed,
    Lookup,
    /// An HTTP tool that may not be repeated and waits for a person first.
    Gated,
    /// Cancelled once it has begun to speak.
    Cancelled,
    /// Speaks and then waits until the world opens.
    Held,
    /// Its model runs with the client: it asks for tools and for turns, and completes.
    Session,
    /// Waits for another's run on the same thread.
    Behind,
    /// Cancels another's run on the same thread.
    Interrupting,
    /// Speaks for a while, with another's run behind it.
    Ahead,
    /// Speaks and does not stop, until another interrupts it or the world opens.
    Interrupted,
}

impl Kind {
    /// Those of one lap, which between them pass every crash point of a run.
    pub const LAP: [Self; 10] = [
        Self::Plain,
        Self::Record,
        Self::Unsafe,
        Self::Keyed,
        Self::Lookup,
        Self::Gated,
        Self::Cancelled,
        Self::Session,
        Self::Behind,
        Self::Interrupting,
    ];

    pub fn verb(self) -> &'static str {
        match self {
            Self::Plain | Self::Session | Self::Behind | Self::Interrupting => "say",
            Self::Ahead => "talk",
            Self::Record => "record",
            Self::Unsafe => "plain",
            Self::Keyed => "keyed",
            Self::Lookup => "lookup",
            Self::Gated => "gated",
            Self::Cancelled | Self::Held | Self::Interrupted => "hold",
        }
    }

    /// What is asked for where the thread is busy. Who comes first may be asked again after who comes second.
    pub fn on_busy(self) -> &'static str {
        match self {
            Self::Interrupting => "interrupt",
            Self::Behind | Self::Ahead | Self::Interrupted => "enqueue",
            Self::Plain
            | Self::Record
            | Self::Unsafe
            | Self::Keyed
            | Self::Lookup
            | Self::Gated
            | Self::Cancelled
            | Self::Held
            | Self::Session => "reject",
        }
    }

    /// Whose run is on the thread before.
    pub fn first(self) -> Option<Self> {
        match self {
            Self::Behind => Some(Self::Ahead),
            Self::Interrupting => Some(Self::Interrupted),
            _ => None,
        }
    }

    pub fn wish(self) -> Wish {
        match self {
            Self::Plain
            | Self::Cancelled
            | Self::Held
            | Self::Behind
            | Self::Interrupting
            | Self::Ahead
            | Self::Interrupted => Wish::Nothing,
            Self::Record => Wish::Row,
            Self::Unsafe | Self::Gated => Wish::Plain,
            Self::Keyed => Wish::Keyed,
            Self::Lookup => Wish::Lookup,
            Self::Session => Wish::RowAndPlain,
        }
    }
}
