//! The stand-in for a first run without any provider. It is no language model and says so: it follows fixed rules, which
//! read the user's words and the tools' names, and never the network. The same history gets the same answer.

use domain::message::Role;
use domain::ports::model::{AskedCall, TurnEvent, TurnFinish, TurnRequest};
use domain::usage::Usage;
use std::collections::VecDeque;
use std::time::Duration;

mod arguments;
mod records;
mod rules;

/// What it calls itself where a model's name is expected.
pub(crate) const MODEL: &str = "offline-demo";

const NOTICE: &str = "I am Runyard's offline stand-in, not a language model: I follow a few fixed rules, so that you can \
try the server without a provider.\n\n";

pub(crate) const HOW_TO_CONNECT: &str = "To get real answers, connect a model: set OPENAI_API_KEY, ANTHROPIC_API_KEY or \
GEMINI_API_KEY, or have Ollama running, and start the server again. `runyard doctor` says what it finds.";

/// What it does next: says something, and perhaps calls tools.
#[derive(Debug, Default, PartialEq)]
struct Move {
    text: String,
    calls: Vec<AskedCall>,
}

/// An answer that is read out word by word.
#[derive(Debug)]
pub(crate) struct Recital {
    words: VecDeque<String>,
    calls: Vec<AskedCall>,
    usage: Usage,
    pause: Duration,
}

pub(crate) fn answer(request: &TurnRequest, pause: Duration) -> Recital {
    let Move { mut text, calls } = rules::next(request);
    let mut history = request.messages.iter();
    if !history.any(|message| message.role == Role::Assistant) {
        text.insert_str(0, NOTICE);
    }
    let words: VecDeque<String> = text
        .split_inclusive(char::is_whitespace)
        .map(str::to_owned)
        .collect();
    let read: usize = request
        .messages
        .iter()
        .map(|message| message.content.text().split_whitespace().count())
        .sum();
    Recital {
        // Words, for want of tokens; they cost nothing.
        usage: Usage {
            input_tokens: read as u64,
            output_tokens: words.len() as u64,
            estimated: true,
            ..Usage::default()
        },
        words,
        calls,
        pause,
    }
}

impl Recital {
    pub(crate) async fn next(&mut self) -> Option<TurnEvent> {
        let word = self.words.pop_front()?;
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        Some(TurnEvent::Text(word))
    }

    pub(crate) fn finish(&mut self) -> TurnFinish {
        TurnFinish {
            calls: std::mem::take(&mut self.calls),
            signatures: Vec::new(),
            usage: self.usage,
            truncated: false,
        }
    }
}
