//! Reads the history out of a request's body, by wire.

use serde_json::Value;

use super::{Item, Violation};
use crate::{Request, Wire};

/// The history of a request; empty if it is not one for an answer.
pub(crate) fn read(request: &Request) -> Vec<Item> {
    let body = &request.body;
    let mut items = Vec::new();
    match request.wire {
        Some(Wire::OpenaiChat | Wire::Ollama) => chat(body, &mut items),
        Some(Wire::OpenaiResponses) => responses(body, &mut items),
        Some(Wire::Anthropic) => anthropic(body, &mut items),
        Some(Wire::Gemini) => gemini(body, &mut items),
        None => {}
    }
    items
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The text of a content: a string, or the texts of its parts joined.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Arguments that are sent as text: their value if they are JSON.
fn parsed(arguments: &Value) -> Value {
    match arguments.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
        None => arguments.clone(),
    }
}

fn chat(body: &Value, items: &mut Vec<Item>) {
    for (index, message) in list(&body["messages"]).iter().enumerate() {
        let content = content_text(&message["content"]);
        match message["role"].as_str() {
            Some("system" | "developer") => items.push(Item::System(content)),
            Some("tool") => items.push(Item::Result {
                id: text(&message["tool_call_id"]),
                name: text(&message["tool_name"]).or_else(|| text(&message["name"])),
                content,
            }),
            Some("assistant") => {
                let calls = list(&message["tool_calls"]);
                if !content.is_empty() || calls.is_empty() {
                    items.push(Item::Assistant(content));
                }
                items.extend(calls.iter().map(|call| Item::Call {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]).unwrap_or_default(),
                    arguments: parsed(&call["function"]["arguments"]),
                    message: index,
                }));
            }
            _ => items.push(Item::User(content)),
        }
    }
}

fn responses(body: &Value, items: &mut Vec<Item>) {
    if let Some(instructions) = text(&body["instructions"]) {
        items.push(Item::System(instructions));
    }
    if let Some(input) = text(&body["input"]) {
        items.push(Item::User(input));
    }
    for item in list(&body["input"]) {
        match item["type"].as_str() {
            Some("function_call") => items.push(Item::Call {
                id: text(&item["call_id"]),
                name: text(&item["name"]).unwrap_or_default(),
                arguments: parsed(&item["arguments"]),
                message: 0,
            }),
            Some("function_call_output") => items.push(Item::Result {
                id: text(&item["call_id"]),
                name: None,
                content: content_text(&item["output"]),
            }),
            None | Some("message") => {
                let content = content_text(&item["content"]);
                items.push(match item["role"].as_str() {
                    Some("system" | "developer") => Item::System(content),
                    Some("assistant") => Item::Assistant(content),
                    _ => Item::User(content),
                });
            }
            Some(_) => {}
        }
    }
}

fn anthropic(body: &Value, items: &mut Vec<Item>) {
    if !body["system"].is_null() {
        items.push(Item::System(content_text(&body["system"])));
    }
    for (index, message) in list(&body["messages"]).iter().enumerate() {
        let assistant = message["role"] == "assistant";
        if let Some(said) = text(&message["content"]) {
            items.push(if assistant {
                Item::Assistant(said)
            } else {
                Item::User(said)
            });
            continue;
        }
        let mut calls = Vec::new();
        for block in list(&message["content"]) {
            match block["type"].as_str() {
                Some("tool_use") => calls.push(Item::Call {
                    id: text(&block["id"]),
                    name: text(&block["name"]).unwrap_or_default(),
                    arguments: block["input"].clone(),
                    message: index,
                }),
                Some("tool_result") => items.push(Item::Result {
                    id: text(&block["tool_use_id"]),
                    name: None,
                    content: content_text(&block["content"]),
                }),
                Some("text") => {
                    let said = content_text(&block["text"]);
                    items.push(if assistant {
                        Item::Assistant(said)
                    } else {
                        Item::User(said)
                    });
                }
                _ => {}
            }
        }
        items.append(&mut calls);
    }
}

fn gemini(body: &Value, items: &mut Vec<Item>) {
    // Both spellings are accepted by the provider.
    for field in ["systemInstruction", "system_instruction"] {
        if !body[field].is_null() {
            items.push(Item::System(content_text(&body[field]["parts"])));
        }
    }
    for (index, content) in list(&body["contents"]).iter().enumerate() {
        let model = content["role"] == "model";
        let mut calls = Vec::new();
        for part in list(&content["parts"]) {
            let (call, result) = (&part["functionCall"], &part["functionResponse"]);
            if !call.is_null() {
                calls.push(Item::Call {
                    id: text(&call["id"]),
                    name: text(&call["name"]).unwrap_or_default(),
                    arguments: call["args"].clone(),
                    message: index,
                });
            } else if !result.is_null() {
                items.push(Item::Result {
                    id: text(&result["id"]),
                    name: text(&result["name"]),
                    content: result["response"].to_string(),
                });
            } else if let Some(said) = text(&part["text"])
                && part["thought"] != true
            {
                items.push(if model {
                    Item::Assistant(said)
                } else {
                    Item::User(said)
                });
            }
        }
        items.append(&mut calls);
    }
}

/// The names of the tools that a request offers.
pub(crate) fn tool_names(request: &Request) -> Vec<String> {
    let tools = list(&request.body["tools"]).iter();
    let names: Vec<&Value> = match request.wire {
        Some(Wire::Gemini) => tools
            .flat_map(|tool| {
                let camel = list(&tool["functionDeclarations"]).iter();
                camel.chain(list(&tool["function_declarations"]))
            })
            .map(|declaration| &declaration["name"])
            .collect(),
        Some(Wire::OpenaiChat | Wire::Ollama) => {
            tools.map(|tool| &tool["function"]["name"]).collect()
        }
        _ => tools.map(|tool| &tool["name"]).collect(),
    };
    names.into_iter().filter_map(text).collect()
}

/// Arguments must be text with OpenAI and an object elsewhere.
pub(super) fn argument_types(request: &Request) -> Vec<Violation> {
    let body = &request.body;
    let mut wrong = Vec::new();
    let mut expect = |fits: bool, name: &Value| {
        if !fits {
            wrong.push(Violation::ArgumentsType(text(name).unwrap_or_default()));
        }
    };
    match request.wire {
        Some(wire @ (Wire::OpenaiChat | Wire::Ollama)) => {
            for message in list(&body["messages"]) {
                for call in list(&message["tool_calls"]) {
                    let function = &call["function"];
                    let arguments = &function["arguments"];
                    let as_text = wire == Wire::OpenaiChat;
                    let fits = if as_text {
                        arguments.is_string()
                    } else {
                        arguments.is_object()
                    };
                    expect(fits, &function["name"]);
                }
            }
        }
        Some(Wire::OpenaiResponses) => {
            let calls = list(&body["input"])
                .iter()
                .filter(|item| item["type"] == "function_call");
            calls.for_each(|call| expect(call["arguments"].is_string(), &call["name"]));
        }
        Some(Wire::Anthropic) => {
            for message in list(&body["messages"]) {
                let blocks = list(&message["content"]).iter();
                let calls = blocks.filter(|block| block["type"] == "tool_use");
                calls.for_each(|call| expect(call["input"].is_object(), &call["name"]));
            }
        }
        Some(Wire::Gemini) => {
            for content in list(&body["contents"]) {
                for call in list(&content["parts"])
                    .iter()
                    .map(|part| &part["functionCall"])
                {
                    let args = &call["args"];
                    expect(args.is_null() || args.is_object(), &call["name"]);
                }
            }
        }
        None => {}
    }
    wrong
}
