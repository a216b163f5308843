//! What one attempt has said so far, the same for every wire: text to hand on, calls and signatures to keep, usage to
//! count, and the limits on all of it.

use crate::config::Price;
use crate::fault::Fault;
use crate::json;
use domain::limits::TURN_BYTES_MAX;
use domain::ports::model::{AskedCall, TurnEvent};
use domain::usage::Usage;
use std::collections::VecDeque;

/// Calls in one answer. Far more than the engine runs, so that it is the engine that says so to the model.
const CALLS_MAX: usize = 1_024;

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It had said what it had to say, or waits for tools.
    End,
    /// Its output limit.
    Length,
}

/// The collected answer of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Deltas that were read and not yet handed on.
    pub events: VecDeque<TurnEvent>,
    pub stop: Option<Stop>,
    /// The wire's terminal marker has come: only now is the answer whole.
    pub done: bool,
    pub reported: Reported,
    calls: Vec<OpenCall>,
    signatures: Vec<String>,
    bytes: usize,
}

/// Tokens as the provider tells them; what it does not tell is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Cached and cache-writing tokens included.
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cached: u64,
    pub cache_written: u64,
}

#[derive(Debug)]
struct OpenCall {
    /// The wire's own mark for the call: an index, or the count of calls so far.
    key: u64,
    /// The provider's id; it tells apart calls of servers that number them all 0.
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    pub(crate) fn text(&mut self, text: String) -> Result<(), Fault> {
        self.delta(text, TurnEvent::Text)
    }

    pub(crate) fn reasoning(&mut self, text: String) -> Result<(), Fault> {
        self.delta(text, TurnEvent::Reasoning)
    }

    fn delta(&mut self, text: String, event: fn(String) -> TurnEvent) -> Result<(), Fault> {
        if text.is_empty() {
            return Ok(());
        }
        self.grow(text.len())?;
        self.events.push_back(event(json::without_nul(text)));
        Ok(())
    }

    /// A part of a call: the first has the name, the others more of the arguments.
    pub(crate) fn call(
        &mut self,
        key: u64,
        id: &str,
        name: &str,
        arguments: &str,
    ) -> Result<(), Fault> {
        self.grow(name.len() + arguments.len())?;
        let open = self.calls.iter_mut().rev().find(|call| call.key == key);
        let continued = open.filter(|call| id.is_empty() || name.is_empty() || call.id == id);
        if let Some(call) = continued {
            if call.name.is_empty() {
                call.name.push_str(name);
            }
            call.arguments.push_str(arguments);
            return Ok(());
        }
        if self.calls.len() == CALLS_MAX {
            return Err(Fault::TooLarge);
        }
        self.calls.push(OpenCall {
            key,
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        });
        Ok(())
    }

    /// More arguments of a call; nothing if the key is of something else, such as a tool of the provider's own.
    pub(crate) fn call_more(&mut self, key: u64, arguments: &str) -> Result<(), Fault> {
        self.grow(arguments.len())?;
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.key == key) {
            call.arguments.push_str(arguments);
        }
        Ok(())
    }

    pub(crate) fn call_more_of_last(&mut self, arguments: &str) -> Result<(), Fault> {
        match self.last_key() {
            Some(key) => self.call_more(key, arguments),
            None => Ok(()),
        }
    }

    /// The arguments of a call told at once, in place of the parts that came before.
    pub(crate) fn call_whole(
        &mut self,
        key: u64,
        name: &str,
        arguments: &str,
    ) -> Result<(), Fault> {
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.key == key) {
            if arguments.is_empty() || call.arguments == arguments {
                return Ok(());
            }
            call.arguments.clear();
        }
        self.call(key, "", name, arguments)
    }

    pub(crate) fn has_content(&self) -> bool {
        self.bytes > 0
    }

    pub(crate) fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// The key of the call that was begun last.
    pub(crate) fn last_key(&self) -> Option<u64> {
        self.calls.last().map(|call| call.key)
    }

    pub(crate) fn signature(&mut self, signature: String) -> Result<(), Fault> {
        self.grow(signature.len())?;
        self.signatures.push(signature);
        Ok(())
    }

    /// More of the signature that was begun last; providers send it in pieces.
    pub(crate) fn extend_signature(&mut self, piece: &str) -> Result<(), Fault> {
        self.grow(piece.len())?;
        if let Some(last) = self.signatures.last_mut() {
            last.push_str(piece);
        }
        Ok(())
    }

    fn grow(&mut self, more: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > TURN_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// The calls as asked, in order, under the names that the caller gave its tools. A call of no arguments at all
    /// means an empty object: several providers send nothing then.
    pub(crate) fn take_calls(&mut self, real_name: impl Fn(&str) -> String) -> Vec<AskedCall> {
        let calls = std::mem::take(&mut self.calls).into_iter();
        calls
            .map(|call| AskedCall {
                name: real_name(&call.name),
                arguments: if call.arguments.trim().is_empty() {
                    "{}".to_owned()
                } else {
                    json::mended(call.arguments)
                },
            })
            .collect()
    }

    pub(crate) fn take_signatures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.signatures)
    }

    /// What the attempt used. `prompt_bytes` is asked for only where the provider did not tell: four bytes a token.
    pub(crate) fn usage(&self, price: &Price, prompt_bytes: impl FnOnce() -> usize) -> Usage {
        let reported = self.reported;
        let input = reported
            .input
            .unwrap_or_else(|| tokens_of_bytes(prompt_bytes()));
        let output = reported
            .output
            .unwrap_or_else(|| tokens_of_bytes(self.bytes));
        let cached = reported.cached.min(input);
        let written = reported.cache_written.min(input - cached);
        let plain = input - cached - written;
        let at = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let cost = at(plain, price.input_micro_usd)
            + at(
                cached,
                price.cached_micro_usd.unwrap_or(price.input_micro_usd),
            )
            + at(
                written,
                price.cache_write_micro_usd.unwrap_or(price.input_micro_usd),
            )
            + at(output, price.output_micro_usd);
        Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            cost_micro_usd: u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX),
            estimated: reported.input.is_none() || reported.output.is_none(),
        }
    }
}

fn tokens_of_bytes(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

#[cfg(test)]
mod tests;
