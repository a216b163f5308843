//! Tiny readers of each wire, which make the same thing of the same reply; they know only what the
//! wires share.

use scripted::Wire;
use serde_json::Value;

/// What a client hears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    pub reasoning: String,
    pub text: String,
    /// The calls: id, name, text of the arguments.
    pub calls: Vec<(Option<String>, String, String)>,
    pub finish: Option<String>,
    /// Input, output, cached, reasoning tokens, as the wire counts them.
    pub usage: Option<[u64; 4]>,
    /// The terminal marker came.
    pub marked: bool,
    pub error: Option<Value>,
}

/// The events of a stream: name (empty where the wire has none) and data.
pub fn events(wire: Wire, body: &str) -> Vec<(String, String)> {
    if wire == Wire::Ollama {
        return body
            .lines()
            .map(|line| (String::new(), line.to_owned()))
            .collect();
    }
    let normal = body.replace("\r\n", "\n");
    let frames = normal.split_terminator("\n\n");
    let event = |frame: &str| {
        let field = |name: &str| {
            let found = frame.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_default().to_owned()
        };
        (field("event: "), field("data: "))
    };
    frames.map(event).collect()
}

/// Reads a stream.
pub fn stream(wire: Wire, body: &str) -> Heard {
    let mut heard = Heard::default();
    for (name, data) in events(wire, body) {
        if data == "[DONE]" {
            heard.marked = true;
            continue;
        }
        // A stream that is cut may end in the middle of an event.
        let Ok(data) = serde_json::from_str::<Value>(&data) else {
            continue;
        };
        match wire {
            Wire::OpenaiChat => chat(&mut heard, &data),
            Wire::OpenaiResponses => responses(&mut heard, &name, &data),
            Wire::Anthropic => anthropic(&mut heard, &name, &data),
            Wire::Gemini => gemini(&mut heard, &data),
            Wire::Ollama => ollama(&mut heard, &data),
        }
    }
    heard
}

/// Reads an answer that is not streamed.
pub fn whole(wire: Wire, body: &Value) -> Heard {
    let mut heard = Heard::default();
    match wire {
        Wire::OpenaiChat => {
            let message = &body["choices"][0]["message"];
            heard.text = text(&message["content"]);
            heard.reasoning = text(&message["reasoning_content"]);
            for call in list(&message["tool_calls"]) {
                heard.calls.push(function(call));
            }
            heard.finish = word(&body["choices"][0]["finish_reason"]);
            heard.usage = chat_usage(&body["usage"]);
        }
        Wire::OpenaiResponses => responses_output(&mut heard, body),
        Wire::Anthropic => {
            for block in list(&body["content"]) {
                heard.text += &text(&block["text"]);
                heard.reasoning += &text(&block["thinking"]);
                if block["type"] == "tool_use" {
                    let input = block["input"].to_string();
                    heard
                        .calls
                        .push((word(&block["id"]), text(&block["name"]), input));
                }
            }
            heard.finish = word(&body["stop_reason"]);
            heard.usage = anthropic_usage(&body["usage"]);
        }
        Wire::Gemini => gemini(&mut heard, body),
        Wire::Ollama => ollama(&mut heard, body),
    }
    heard.marked = heard.finish.is_some();
    heard
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn function(call: Value) -> (Option<String>, String, String) {
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (word(&call["id"]), text(&function["name"]), arguments)
}

fn chat_usage(usage: &Value) -> Option<[u64; 4]> {
    usage.as_object()?;
    Some([
        count(&usage["prompt_tokens"]),
        count(&usage["completion_tokens"]),
        count(&usage["prompt_tokens_details"]["cached_tokens"]),
        count(&usage["completion_tokens_details"]["reasoning_tokens"]),
    ])
}

fn chat(heard: &mut Heard, data: &Value) {
    if !data["error"].is_null() {
        heard.error = Some(data["error"].clone());
    }
    heard.usage = chat_usage(&data["usage"]).or(heard.usage);
    let choice = &data["choices"][0];
    heard.text += &text(&choice["delta"]["content"]);
    heard.reasoning += &text(&choice["delta"]["reasoning_content"]);
    heard.finish = word(&choice["finish_reason"]).or(heard.finish.take());
    for call in list(&choice["delta"]["tool_calls"]) {
        let index = usize::try_from(count(&call["index"])).unwrap();
        let (id, name, arguments) = function(call.clone());
        if index == heard.calls.len() {
            heard.calls.push((id, name, arguments));
        } else {
            heard.calls[index].2 += &arguments;
        }
    }
}

fn responses(heard: &mut Heard, name: &str, data: &Value) {
    assert_eq!(data["type"], name);
    match name {
        "response.output_text.delta" => heard.text += &text(&data["delta"]),
        "response.reasoning_summary_text.delta" => heard.reasoning += &text(&data["delta"]),
        "response.output_item.added" if data["item"]["type"] == "function_call" => {
            let item = &data["item"];
            let call = (word(&item["call_id"]), text(&item["name"]), String::new());
            heard.calls.push(call);
        }
        "response.function_call_arguments.delta" => {
            heard.calls.last_mut().unwrap().2 += &text(&data["delta"]);
        }
        "response.completed" | "response.incomplete" => {
            let mut last = Heard::default();
            responses_output(&mut last, &data["response"]);
            assert_eq!((&last.text, &last.calls), (&heard.text, &heard.calls));
            (heard.finish, heard.usage, heard.marked) = (last.finish, last.usage, true);
        }
        "error" => heard.error = Some(data.clone()),
        "response.failed" => heard.error = Some(data["response"]["error"].clone()),
        _ => {}
    }
}

fn responses_output(heard: &mut Heard, response: &Value) {
    for item in list(&response["output"]) {
        heard.text += &text(&item["content"][0]["text"]);
        heard.reasoning += &text(&item["summary"][0]["text"]);
        if item["type"] == "function_call" {
            let arguments = text(&item["arguments"]);
            heard
                .calls
                .push((word(&item["call_id"]), text(&item["name"]), arguments));
        }
    }
    heard.finish = word(&response["incomplete_details"]["reason"]).or(word(&response["status"]));
    let usage = &response["usage"];
    heard.usage = usage.as_object().map(|_| {
        [
            count(&usage["input_tokens"]),
            count(&usage["output_tokens"]),
            count(&usage["input_tokens_details"]["cached_tokens"]),
            count(&usage["output_tokens_details"]["reasoning_tokens"]),
        ]
    });
}

fn anthropic_usage(usage: &Value) -> Option<[u64; 4]> {
    usage.as_object()?;
    let cached = count(&usage["cache_read_input_tokens"]);
    Some([
        count(&usage["input_tokens"]),
        count(&usage["output_tokens"]),
        cached,
        0,
    ])
}

fn anthropic(heard: &mut Heard, name: &str, data: &Value) {
    assert_eq!(data["type"], name);
    match name {
        "content_block_start" if data["content_block"]["type"] == "tool_use" => {
            let block = &data["content_block"];
            heard
                .calls
                .push((word(&block["id"]), text(&block["name"]), String::new()));
        }
        "content_block_delta" => {
            heard.text += &text(&data["delta"]["text"]);
            heard.reasoning += &text(&data["delta"]["thinking"]);
            if let Some(call) = heard.calls.last_mut() {
                call.2 += &text(&data["delta"]["partial_json"]);
            }
        }
        "message_delta" => {
            heard.finish = word(&data["delta"]["stop_reason"]);
            heard.usage = anthropic_usage(&data["usage"]);
        }
        "message_stop" => heard.marked = true,
        "error" => heard.error = Some(data["error"].clone()),
        _ => {}
    }
}

fn gemini(heard: &mut Heard, data: &Value) {
    if !data["error"].is_null() {
        heard.error = Some(data["error"].clone());
        return;
    }
    let candidate = &data["candidates"][0];
    for part in list(&candidate["content"]["parts"]) {
        let call = &part["functionCall"];
        if part["thought"] == true {
            heard.reasoning += &text(&part["text"]);
        } else if call.is_object() {
            let args = &call["args"];
            let args = args
                .as_str()
                .map_or_else(|| args.to_string(), str::to_owned);
            heard
                .calls
                .push((word(&call["id"]), text(&call["name"]), args));
        } else {
            heard.text += &text(&part["text"]);
        }
    }
    heard.finish = word(&candidate["finishReason"]);
    heard.marked = heard.finish.is_some();
    let usage = &data["usageMetadata"];
    heard.usage = usage.as_object().map(|_| {
        [
            count(&usage["promptTokenCount"]),
            count(&usage["candidatesTokenCount"]),
            count(&usage["cachedContentTokenCount"]),
            count(&usage["thoughtsTokenCount"]),
        ]
    });
}

fn ollama(heard: &mut Heard, data: &Value) {
    if !data["error"].is_null() {
        heard.error = Some(data["error"].clone());
        return;
    }
    let message = &data["message"];
    heard.text += &text(&message["content"]);
    heard.reasoning += &text(&message["thinking"]);
    for call in list(&message["tool_calls"]) {
        heard.calls.push(function(call));
    }
    if data["done"] == true {
        heard.marked = true;
        heard.finish = word(&data["done_reason"]);
        heard.usage = data["eval_count"].as_u64().map(|output| {
            let cached = count(&data["prompt_eval_cached_count"]);
            [count(&data["prompt_eval_count"]), output, cached, 0]
        });
    }
}
