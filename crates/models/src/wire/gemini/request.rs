//! The body of a request for generated content.

use super::{ON_TEXT, TAG};
use crate::encode;
use crate::prompt::{self, List, Prompt, Speaker, arguments_object, call_id, data_url};
use domain::message::{Content, Message, Part, Role};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Stands for the signature that Gemini 3 and later require on a call which another model made (Gemini API, "Thought
/// signatures").
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Texts<'a>>,
    contents: Contents<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[T; 1]>,
    generation_config: Map<String, Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declarations<L> {
    function_declarations: L,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    /// JSON Schema as it is; the older `parameters` takes only a part of it.
    parameters_json_schema: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Texts<'a> {
    parts: Vec<TextOut<'a>>,
}

#[derive(Serialize)]
struct TextOut<'a> {
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct Said<P> {
    role: &'static str,
    parts: P,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct PartOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<InlineData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<FileData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Answered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InlineData<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileData<'a> {
    file_uri: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    args: Cow<'a, Value>,
}

#[derive(Serialize)]
struct Answered<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    response: Outcome<'a>,
}

/// This wire takes a result as an object only.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Object(Map<String, Value>),
    Result { result: Cow<'a, str> },
    Error { error: Cow<'a, str> },
}

pub(in crate::wire) fn body(prompt: &Prompt<'_>) -> serde_json::Result<Vec<u8>> {
    let function_declarations = List(|| {
        prompt.request.tools.iter().map(|tool| Declaration {
            name: prompt.names.told(&tool.name),
            description: &tool.description,
            parameters_json_schema: &tool.input_schema,
        })
    });
    let tools = [Declarations {
        function_declarations,
    }];
    let mut extra = prompt.lane.extra_body.clone();
    let generation_config = generation_config(prompt, extra.remove("generationConfig"));
    let body = Body {
        system_instruction: system(prompt),
        contents: Contents {
            prompt,
            tools_by_call: prompt.tools_by_call(),
        },
        tools: Some(tools).filter(|_| prompt.has_tools()),
        generation_config,
        extra,
    };
    encode::to_vec(&body, prompt.capacity())
}

/// The lane's own settings, and ours where they say nothing.
fn generation_config(prompt: &Prompt<'_>, own: Option<Value>) -> Map<String, Value> {
    let mut config = match own {
        Some(Value::Object(config)) => config,
        _ => Map::new(),
    };
    if let Some(temperature) = prompt.request.temperature {
        config
            .entry("temperature")
            .or_insert_with(|| temperature.into());
    }
    if let Some(tokens) = prompt.request.max_output_tokens {
        config
            .entry("maxOutputTokens")
            .or_insert_with(|| tokens.into());
    }
    config
}

fn system<'a>(prompt: &'a Prompt<'_>) -> Option<Texts<'a>> {
    let own = Some(Cow::Borrowed(prompt.system()));
    let later = prompt.system_texts().map(Cow::Owned);
    let texts = own.into_iter().chain(later).filter(|text| !text.is_empty());
    let parts: Vec<TextOut<'a>> = texts.map(|text| TextOut { text }).collect();
    Some(Texts { parts }).filter(|system| !system.parts.is_empty())
}

struct Contents<'a> {
    prompt: &'a Prompt<'a>,
    tools_by_call: HashMap<&'a str, &'a str>,
}

impl Serialize for Contents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let turns = self.prompt.speakers();
        let mut list = serializer.serialize_seq(None)?;
        // A call must follow a word of the user.
        if matches!(turns.first(), Some((Speaker::Model, _)) | None) {
            let text = PartOut {
                text: Some("(The conversation begins.)"),
                ..PartOut::default()
            };
            list.serialize_element(&Said {
                role: "user",
                parts: [text],
            })?;
        }
        for (speaker, range) in turns {
            let role = match speaker {
                Speaker::User => "user",
                Speaker::Model => "model",
            };
            let parts = Parts {
                contents: self,
                range,
            };
            list.serialize_element(&Said { role, parts })?;
        }
        list.end()
    }
}

struct Parts<'a> {
    contents: &'a Contents<'a>,
    range: Range<usize>,
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for message in self
            .contents
            .prompt
            .request
            .messages
            .range(self.range.clone())
        {
            match message.role {
                Role::System => {}
                Role::User => said(message, None, &mut list)?,
                Role::Tool => list.serialize_element(&PartOut {
                    function_response: Some(self.result(message)),
                    ..PartOut::default()
                })?,
                Role::Assistant => {
                    let mut signed = prompt::signatures(message.reasoning.as_ref(), TAG);
                    let on_text = signed.find(|(place, _)| *place == ON_TEXT);
                    let on_text = on_text.map(|(_, signature)| signature);
                    said(message, on_text, &mut list)?;
                    self.calls(message, &mut list)?;
                }
            }
        }
        list.end()
    }
}

impl<'a> Parts<'a> {
    fn calls<L: SerializeSeq>(&self, message: &Message, list: &mut L) -> Result<(), L::Error> {
        let prompt = self.contents.prompt;
        let older = ["gemini-1", "gemini-2", "gemma"];
        let newer = !older.iter().any(|older| prompt.model.contains(older));
        for (index, call) in message.tool_calls.iter().enumerate() {
            let mut signed = prompt::signatures(message.reasoning.as_ref(), TAG);
            let own = signed.find(|(place, _)| place.parse() == Ok(index));
            // Of parallel calls only the first is signed.
            let stand_in = Some(NO_SIGNATURE).filter(|_| newer && index == 0);
            list.serialize_element(&PartOut {
                function_call: Some(Call {
                    id: call_id(&call.id),
                    name: prompt.names.told(&call.name),
                    args: arguments_object(&call.arguments),
                }),
                thought_signature: own.map(|(_, signature)| signature).or(stand_in),
                ..PartOut::default()
            })?;
        }
        Ok(())
    }

    fn result(&self, message: &'a Message) -> Answered<'a> {
        let id = message.tool_call_id.as_ref();
        let known = id.and_then(|id| self.contents.tools_by_call.get(id.as_str()));
        let content = match &message.content {
            Content::Text(text) => Cow::Borrowed(text.as_str()),
            Content::Parts(_) => Cow::Owned(message.content.text()),
        };
        let response = match (&content, message.is_error) {
            (Cow::Borrowed(text), _) if text.starts_with('{') => match serde_json::from_str(text) {
                Ok(object) => Outcome::Object(object),
                Err(_) => Outcome::Result { result: content },
            },
            (_, true) => Outcome::Error { error: content },
            (_, false) => Outcome::Result { result: content },
        };
        Answered {
            id: id.map(call_id).unwrap_or_default(),
            name: known.copied().unwrap_or("unknown"),
            response,
        }
    }
}

fn said<L: SerializeSeq>(
    message: &Message,
    thought_signature: Option<&str>,
    list: &mut L,
) -> Result<(), L::Error> {
    let parts = match &message.content {
        Content::Text(text) if text.is_empty() => return Ok(()),
        Content::Text(text) => {
            return list.serialize_element(&PartOut {
                text: Some(text),
                thought_signature,
                ..PartOut::default()
            });
        }
        Content::Parts(parts) => parts,
    };
    for part in parts {
        let mut out = PartOut::default();
        match part {
            Part::Text { text } => out.text = Some(text),
            Part::Image { url } => match data_url(url) {
                Some((mime_type, data)) => out.inline_data = Some(InlineData { mime_type, data }),
                None => out.file_data = Some(FileData { file_uri: url }),
            },
        }
        list.serialize_element(&out)?;
    }
    Ok(())
}
