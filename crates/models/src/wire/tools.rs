//! The tools of a request in OpenAI's two spellings; Ollama takes the first.

use crate::prompt::{List, Prompt};
use domain::tool::ToolSpec;
use serde::Serialize;
use serde_json::{Map, Value};

/// `{"type":"function","function":{…}}`.
#[derive(Serialize)]
struct Wrapped<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Map<String, Value>,
}

/// `{"type":"function","name":…}`, with `strict` off by name: this API's default turns it on and then refuses schemas
/// whose properties are not all required.
#[derive(Serialize)]
struct Flat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    function: Function<'a>,
    strict: bool,
}

fn function<'a>(tool: &'a ToolSpec, prompt: &'a Prompt<'_>) -> Function<'a> {
    Function {
        name: prompt.names.told(&tool.name),
        description: &tool.description,
        parameters: &tool.input_schema,
    }
}

pub(super) fn wrapped<'a>(prompt: &'a Prompt<'_>) -> Option<impl Serialize + 'a> {
    let tools = List(move || {
        prompt.request.tools.iter().map(|tool| Wrapped {
            kind: "function",
            function: function(tool, prompt),
        })
    });
    prompt.has_tools().then_some(tools)
}

pub(super) fn flat<'a>(prompt: &'a Prompt<'_>) -> Option<impl Serialize + 'a> {
    let tools = List(move || {
        prompt.request.tools.iter().map(|tool| Flat {
            kind: "function",
            function: function(tool, prompt),
            strict: false,
        })
    });
    prompt.has_tools().then_some(tools)
}
