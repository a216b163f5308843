//! Judges what watchers saw of a run before crashes against its log after them. It starts nothing and asks nothing, so
//! that it can be tried on made-up histories, those of broken servers above all.

use crate::frames::Frame;
use crate::ledger::Entry;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// What is known of one run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The run's log after everything; `None` if the server does not know the run.
    pub log: Option<Vec<Frame>>,
    /// What each watcher saw, in the order in which it came, up to its end or the server's.
    pub seen: Vec<Vec<Frame>>,
    /// The server said that the run was cancelled.
    pub cancelled: bool,
}

/// What a run was to do in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// A row of the keyed SQL tool.
    Row,
    /// A call that may not be repeated.
    Plain,
    /// A call that may be repeated with its key.
    Keyed,
    /// A call that may be repeated.
    Lookup,
    /// A row, and a call that may not be repeated.
    RowAndPlain,
}

/// What was done in the world for one run that came to its end.
#[derive(Debug, Clone)]
pub struct Effects {
    pub wish: Wish,
    /// Rows that the keyed SQL tool left.
    pub rows: u64,
    pub entry: Entry,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged run is gone.
    Lost,
    /// It began with something else than `run_created`, number 1.
    NoBeginning,
    NotEnded,
    EndedTwice,
    /// Something follows `done`.
    NotLast(u64),
    NotRising(u64),
    /// Numbers are left out where no turn was made again and no run ended.
    Gap(u64),
    /// A watcher saw other bytes under this number than the log has.
    Changed(u64),
    /// A watcher saw an event, and no delta of a turn that died, that the log does not have.
    Vanished(u64),
    /// A watcher saw deltas under a number that the log neither has nor skips.
    Unaccounted(u64),
    /// A message is not what its deltas are.
    Spliced(String),
    /// The server said cancelled, and it was not so.
    NotCancelled,
    Doubled(&'static str),
    /// A call was sent under two keys.
    TwoKeys,
    Unapproved,
    /// What the run was to do was not done, though nothing but crashes stood in its way.
    NeverHappened,
}

impl History {
    /// The model could not be reached, or broke off again and again, or a call failed and the model was told so.
    pub fn tells_of_a_failure(&self) -> bool {
        self.log
            .iter()
            .flatten()
            .any(|frame| match frame.event.as_str() {
                "error" => frame.data["error"]["code"] == "model_unavailable",
                "tool_call_completed" => frame.data["is_error"] == true,
                _ => false,
            })
    }

    pub fn violations(&self) -> Vec<Violation> {
        let Some(log) = &self.log else {
            return vec![Violation::Lost];
        };
        let mut found = Vec::new();
        ends(log, &mut found);
        numbers(log, &mut found);
        messages(log, &mut found);
        for seen in &self.seen {
            compare(log, seen, &mut found);
        }
        if self.cancelled && ended_as(log) != Some("cancelled") {
            found.push(Violation::NotCancelled);
        }
        found
    }

    /// The number of times that the run was taken up after a death in mid-turn.
    pub fn restarts(&self) -> usize {
        let log = self.log.as_deref().unwrap_or_default();
        log.iter()
            .filter(|frame| frame.event == "turn_restarted")
            .count()
    }
}

impl Effects {
    /// What was done against what was wished. A person who decided on calls of unknown outcome is taken to have had them
    /// made again exactly where they had not happened.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.rows > 1 {
            found.push(Violation::Doubled("row"));
        }
        if self.entry.plain > 1 {
            found.push(Violation::Doubled("unsafe call"));
        }
        if self.entry.keyed.len() > 1 {
            found.push(Violation::TwoKeys);
        }
        if self.entry.unapproved > 0 {
            found.push(Violation::Unapproved);
        }
        let done = match self.wish {
            Wish::Nothing => true,
            Wish::Row => self.rows > 0,
            Wish::Plain => self.entry.plain > 0,
            Wish::Keyed => !self.entry.keyed.is_empty(),
            Wish::Lookup => self.entry.looked_up > 0,
            Wish::RowAndPlain => self.rows > 0 && self.entry.plain > 0,
        };
        if !done {
            found.push(Violation::NeverHappened);
        }
        found
    }
}

fn ended_as(log: &[Frame]) -> Option<&str> {
    let done = log.iter().find(|frame| frame.event == "done")?;
    done.data["status"].as_str()
}

fn ends(log: &[Frame], found: &mut Vec<Violation>) {
    let begins = log
        .first()
        .is_some_and(|first| first.event == "run_created" && first.seq == 1);
    if !begins {
        found.push(Violation::NoBeginning);
    }
    let ends: Vec<usize> = (0..log.len())
        .filter(|&at| log[at].event == "done")
        .collect();
    match ends.as_slice() {
        [] => found.push(Violation::NotEnded),
        [one] if one + 1 == log.len() => {}
        [one] => found.push(Violation::NotLast(log[*one].seq)),
        [..] => found.push(Violation::EndedTwice),
    }
}

/// Where numbers may be left out: a turn that died was made again, or the run ended in mid-turn by another's hand.
fn may_jump_to(frame: &Frame) -> bool {
    matches!(
        frame.event.as_str(),
        "turn_restarted" | "error" | "run_status" | "done"
    )
}

fn numbers(log: &[Frame], found: &mut Vec<Violation>) {
    for pair in log.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if after.seq <= before.seq {
            found.push(Violation::NotRising(after.seq));
        } else if after.seq > before.seq + 1 && !may_jump_to(after) {
            found.push(Violation::Gap(after.seq));
        }
    }
}

/// Text of two attempts is never one message.
fn messages(log: &[Frame], found: &mut Vec<Violation>) {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for frame in log {
        if frame.event == "message_delta" {
            told.entry(frame.text("message_id"))
                .or_default()
                .push_str(frame.text("delta"));
        }
        if frame.event == "message_completed" {
            let message = &frame.data["message"];
            let (id, text) = (
                message["id"].as_str().unwrap_or_default(),
                message["content"].as_str(),
            );
            if text.unwrap_or_default() != told.get(id).map_or("", String::as_str) {
                found.push(Violation::Spliced(id.to_owned()));
            }
        }
    }
}

fn compare(log: &[Frame], seen: &[Frame], found: &mut Vec<Violation>) {
    let by_number: BTreeMap<u64, &Frame> = log.iter().map(|frame| (frame.seq, frame)).collect();
    let void: BTreeSet<&str> = log
        .iter()
        .filter(|frame| frame.event == "turn_restarted")
        .map(|frame| frame.text("message_id"))
        .collect();
    for pair in seen.windows(2) {
        if pair[1].seq <= pair[0].seq {
            found.push(Violation::NotRising(pair[1].seq));
        }
    }
    for frame in seen {
        match by_number.get(&frame.seq) {
            Some(kept) if kept.bytes == frame.bytes => {}
            Some(_) => found.push(Violation::Changed(frame.seq)),
            None if !frame.is_delta() => found.push(Violation::Vanished(frame.seq)),
            None => {
                let next = by_number.range(frame.seq..).next().map(|(_, next)| *next);
                let told = match next {
                    Some(next) if next.event == "turn_restarted" => {
                        void.contains(frame.text("message_id"))
                    }
                    Some(next) => may_jump_to(next),
                    // The log ends before it: nothing tells what became of it.
                    None => false,
                };
                if !told {
                    found.push(Violation::Unaccounted(frame.seq));
                }
            }
        }
    }
}
