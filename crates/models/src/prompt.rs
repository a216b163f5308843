//! A turn's request as the wires see it: borrowed, never copied, with what each of them needs to know of the history.
//! It does not know how any provider spells it.

use crate::config::LaneConfig;
use domain::CallId;
use domain::context::text_bytes;
use domain::message::{Content, Message, Part, Reasoning, Role};
use domain::ports::model::TurnRequest;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// The longest call id that every provider takes.
const CALL_ID_BYTES_MAX: usize = 40;
/// The longest tool name that every provider takes.
const TOOL_NAME_BYTES_MAX: usize = 64;

/// One request to one model.
pub(crate) struct Prompt<'a> {
    pub lane: &'a LaneConfig,
    pub model: &'a str,
    pub request: &'a TurnRequest,
    pub names: &'a ToolNames,
}

/// Tool names that a provider would not take, and what it is told instead.
#[derive(Debug, Default)]
pub(crate) struct ToolNames {
    /// Real name and told name. Nearly always empty.
    changed: Vec<(String, String)>,
}

impl ToolNames {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let fits = |name: &str| {
            (1..=TOOL_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_word)
        };
        let mut changed: Vec<(String, String)> = Vec::new();
        for name in names.clone().filter(|name| !fits(name)) {
            let plain: String = name
                .chars()
                .map(|c| {
                    if c.is_ascii() && is_word(c as u8) {
                        c
                    } else {
                        '_'
                    }
                })
                .take(TOOL_NAME_BYTES_MAX - 8)
                .collect();
            let mut told = plain.clone();
            let mut count = 1;
            let is_taken = |told: &String, changed: &[(String, String)]| {
                told.is_empty()
                    || changed.iter().any(|(_, other)| other == told)
                    || names.clone().any(|other| other == told)
            };
            while is_taken(&told, &changed) {
                count += 1;
                told = format!("{plain}_{count}");
            }
            changed.push((name.to_owned(), told));
        }
        Self { changed }
    }

    pub(crate) fn told<'n>(&'n self, real: &'n str) -> &'n str {
        let found = self.changed.iter().find(|(name, _)| name == real);
        found.map_or(real, |(_, told)| told)
    }

    pub(crate) fn real(&self, told: &str) -> String {
        let found = self.changed.iter().find(|(_, name)| name == told);
        found.map_or(told, |(real, _)| real).to_owned()
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

/// A call's id as every provider takes it. Ours pass as they are; those of clients may be anything.
pub(crate) fn call_id(id: &CallId) -> Cow<'_, str> {
    let text = id.as_str();
    if (1..=CALL_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_word) {
        return Cow::Borrowed(text);
    }
    // Fixed keys, so that the same history is the same bytes each time and the provider's cache finds it.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Cow::Owned(format!("call_{:016x}", hasher.finish()))
}

/// Arguments as an object: what a model wrote that is none is wrapped, or the provider would refuse the history for
/// ever.
pub(crate) fn arguments_object(arguments: &Value) -> Cow<'_, Value> {
    if arguments.is_object() {
        Cow::Borrowed(arguments)
    } else {
        Cow::Owned(serde_json::json!({ "unreadable_arguments": arguments }))
    }
}

/// The media type and the base64 text of a `data:` URL.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().unwrap_or(media_type);
    Some((media_type, data))
}

/// Who speaks, on wires that know two speakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Model,
}

impl Prompt<'_> {
    pub(crate) fn system(&self) -> &str {
        &self.request.system_prompt
    }

    pub(crate) fn has_tools(&self) -> bool {
        !self.request.tools.is_empty()
    }

    /// Whether the lane's own settings say something about an optional field.
    pub(crate) fn overrides(&self, field: &str) -> bool {
        self.lane.extra_body.contains_key(field)
    }

    pub(crate) fn temperature(&self) -> Option<f64> {
        self.request
            .temperature
            .filter(|_| !self.overrides("temperature"))
    }

    /// Texts of `system` messages in the history, for wires that take them only apart from it.
    pub(crate) fn system_texts(&self) -> impl Iterator<Item = String> {
        let system = self
            .request
            .messages
            .iter()
            .filter(|message| message.role == Role::System);
        system.map(|message| message.content.text())
    }

    /// The history as turns of two speakers, each a range of messages: providers of that kind want the speakers to
    /// alternate and all results of a turn's calls together. Messages that say nothing are left out.
    pub(crate) fn speakers(&self) -> Vec<(Speaker, Range<usize>)> {
        let mut turns: Vec<(Speaker, Range<usize>)> = Vec::new();
        for (index, message) in self.request.messages.iter().enumerate() {
            let speaker = match message.role {
                Role::User | Role::Tool => Speaker::User,
                Role::Assistant => Speaker::Model,
                Role::System => continue,
            };
            if says_nothing(message) {
                continue;
            }
            match turns.last_mut() {
                Some((last, range)) if *last == speaker => range.end = index + 1,
                _ => turns.push((speaker, index..index + 1)),
            }
        }
        turns
    }

    /// The tool's name by call id, for wires whose results name the tool.
    pub(crate) fn tools_by_call(&self) -> HashMap<&str, &str> {
        let messages = self.request.messages.iter();
        let calls = messages.flat_map(|message| &message.tool_calls);
        calls
            .map(|call| (call.id.as_str(), self.names.told(&call.name)))
            .collect()
    }

    /// Index of the first message that follows the last one of the user: the loop of calls that is under way.
    pub(crate) fn loop_start(&self) -> usize {
        let messages = &self.request.messages;
        messages.after_last(|message| message.role == Role::User)
    }

    /// About how many bytes the request will have, so that its buffer need not grow.
    pub(crate) fn capacity(&self) -> usize {
        let messages = &self.request.messages;
        let blocks = messages.blocks().iter().map(|block| block.text_bytes());
        let rest = messages.rest().iter().map(|message| text_bytes(message));
        let text: usize = blocks.chain(rest).sum();
        self.request.system_prompt.len() + 2_048 + text + text / 16 + 96 * messages.len()
    }

    /// Bytes of everything that the model reads, for an estimate.
    pub(crate) fn bytes(request: &TurnRequest) -> usize {
        let history: usize = request.messages.iter().map(|message| bytes(message)).sum();
        let tools: usize = request
            .tools
            .iter()
            .map(|tool| {
                let schema = serde_json::to_vec(&tool.input_schema).map_or(0, |json| json.len());
                tool.name.len() + tool.description.len() + schema
            })
            .sum();
        request.system_prompt.len() + history + tools
    }
}

pub(crate) fn says_nothing(message: &Message) -> bool {
    let empty = match &message.content {
        Content::Text(text) => text.is_empty(),
        Content::Parts(parts) => parts
            .iter()
            .all(|part| matches!(part, Part::Text { text } if text.is_empty())),
    };
    empty && message.role != Role::Tool && message.tool_calls.is_empty()
}

fn bytes(message: &Message) -> usize {
    let content = match &message.content {
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text { text } => text.len(),
                // An image costs a model some hundreds of tokens, whatever its bytes.
                Part::Image { .. } => 4_000,
            })
            .sum(),
    };
    let calls: usize = message
        .tool_calls
        .iter()
        .map(|call| call.name.len() + call.arguments.to_string().len())
        .sum();
    content + calls
}

/// A provider's signature in a message's history: marked with its wire, since no other provider takes it.
pub(crate) fn signature(wire: &str, place: &str, payload: &str) -> String {
    format!("{wire}|{place}|{payload}")
}

/// Place and payload of the signatures that came from this wire.
pub(crate) fn signatures<'a>(
    reasoning: Option<&'a Reasoning>,
    wire: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = reasoning.map_or(&[][..], |reasoning| &reasoning.signatures);
    all.iter().filter_map(move |signature| {
        signature
            .strip_prefix(wire)?
            .strip_prefix('|')?
            .split_once('|')
    })
}

/// Writes a list from an iterator of known things, without collecting it first.
pub(crate) struct List<F>(pub F);

impl<F, I, T> Serialize for List<F>
where
    F: Fn() -> I,
    I: Iterator<Item = T>,
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

#[cfg(test)]
mod tests;
