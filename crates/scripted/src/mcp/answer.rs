//! What is answered to a message, whatever carries it.

use super::{Does, Era, McpTool, Shared, lock};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// What the transport has to do.
pub(super) enum Act {
    Say(Value),
    /// Bytes that are no message.
    Babble(&'static str),
    Close,
    Nothing,
}

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

impl Shared {
    /// What to do about one message, in order.
    pub(super) async fn answer(&self, message: &Value) -> Vec<Act> {
        let id = &message["id"];
        let params = &message["params"];
        match (message["method"].as_str().unwrap_or_default(), self.era) {
            ("notifications/cancelled", _) => {
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                vec![Act::Nothing]
            }
            ("initialize", Era::Legacy) => {
                self.wait_ready().await;
                vec![said(
                    id,
                    json!({
                        "protocolVersion": LEGACY,
                        "capabilities": { "tools": { "listChanged": true } },
                        "serverInfo": { "name": "scripted", "version": "1" },
                    }),
                )]
            }
            ("server/discover", Era::Modern) => {
                self.wait_ready().await;
                vec![said(
                    id,
                    json!({
                        "resultType": "complete",
                        "supportedVersions": [MODERN],
                        "capabilities": { "tools": {} },
                        "serverInfo": { "name": "scripted", "version": "1" },
                        "ttlMs": 0,
                        "cacheScope": "private",
                    }),
                )]
            }
            ("tools/list", _) => vec![said(id, self.list(params))],
            ("tools/call", _) => {
                lock(&self.calls).push(params.clone());
                let name = params["name"].as_str().unwrap_or_default();
                let tools = lock(&self.tools).clone();
                match tools.into_iter().find(|tool| tool.name == name) {
                    Some(tool) => self.call(&tool, id, params).await,
                    None => vec![refused(id, -32_602, "no such tool")],
                }
            }
            (_, _) if id.is_null() => vec![Act::Nothing],
            _ => vec![refused(id, -32_601, "method not found")],
        }
    }

    async fn wait_ready(&self) {
        let mut ready = self.ready.subscribe();
        let _ = ready.wait_for(|ready| *ready).await;
    }

    fn list(&self, params: &Value) -> Value {
        let tools = lock(&self.tools);
        let from = params["cursor"]
            .as_str()
            .and_then(|cursor| cursor.parse().ok());
        let from: usize = from.unwrap_or(0);
        let page = self.page.load(Ordering::SeqCst);
        let shown: Vec<Value> = tools.iter().skip(from).take(page).map(told).collect();
        let mut list = json!({
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": shown,
        });
        let next = from.saturating_add(page);
        if next < tools.len() {
            list["nextCursor"] = json!(next.to_string());
        }
        list
    }

    async fn call(&self, tool: &McpTool, id: &Value, params: &Value) -> Vec<Act> {
        let arguments = params["arguments"].to_string();
        let done = || said(id, text(&arguments, false));
        match tool.does {
            Does::Echo => vec![done()],
            Does::Fail => vec![said(id, text("it did not work", true))],
            Does::Wait => {
                let mut gate = self.gate.subscribe();
                let _ = gate.wait_for(|open| *open).await;
                vec![done()]
            }
            Does::Hang => std::future::pending().await,
            Does::Flood(count) => {
                let noise = |index| {
                    Act::Say(json!({
                        "jsonrpc": "2.0",
                        "method": "notifications/message",
                        "params": { "level": "info", "data": format!("noise {index}") },
                    }))
                };
                (0..count).map(noise).chain([done()]).collect()
            }
            Does::Garbage => vec![
                Act::Babble("}{ \u{0}\u{1} not a message"),
                Act::Babble("[1,2,3"),
                done(),
            ],
            Does::Huge(bytes) => vec![said(id, text(&"x".repeat(bytes), false))],
            Does::Die => vec![Act::Close],
            Does::WrongId => {
                let other = id.as_i64().unwrap_or(0) + 1_000;
                vec![said(&json!(other), text(&arguments, false))]
            }
            Does::Picture => vec![said(
                id,
                json!({
                    "resultType": "complete",
                    "content": [{ "type": "image", "mimeType": "image/png", "data": "QUJD" }],
                }),
            )],
        }
    }
}

fn told(tool: &McpTool) -> Value {
    let mut told = json!({
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
    });
    if !tool.annotations.is_null() {
        told["annotations"] = tool.annotations.clone();
    }
    told
}

fn text(text: &str, is_error: bool) -> Value {
    json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": text }],
        "isError": is_error,
    })
}

/// The result comes before the id, as some libraries write it.
fn said(id: &Value, result: Value) -> Act {
    Act::Say(json!({ "result": result, "jsonrpc": "2.0", "id": id }))
}

fn refused(id: &Value, code: i64, message: &str) -> Act {
    let error = json!({ "code": code, "message": message });
    Act::Say(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}
