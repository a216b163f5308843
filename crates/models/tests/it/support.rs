//! Lanes to a scripted server, requests, and what came of them.

use domain::budget::Account;
use domain::lane::{LaneChoice, LaneKind, Wishes};
use domain::message::{Content, Message, Role};
use domain::ports::model::{ModelError, Models, TurnEvent, TurnFinish, TurnRequest};
use domain::tool::{Effect, Policy, ToolSpec};
use domain::{MessageId, OrgId, OrgScope, RunId, Timestamp};
use futures::StreamExt;
use models::{LaneConfig, Router, RouterSettings};
use scripted::{Script, Server, Wire};
use serde_json::{Value, json};
use std::sync::{Arc, Once};
use uuid::Uuid;

pub const KEY: &str = "canary-key-sk-0123456789";

pub fn wire_of(wire: Wire) -> models::Wire {
    match wire {
        Wire::OpenaiChat => models::Wire::OpenaiChat,
        Wire::OpenaiResponses => models::Wire::OpenaiResponses,
        Wire::Anthropic => models::Wire::Anthropic,
        Wire::Gemini => models::Wire::Gemini,
        Wire::Ollama => models::Wire::Ollama,
    }
}

pub fn base_url(url: &str, wire: Wire) -> String {
    match wire {
        Wire::OpenaiChat | Wire::OpenaiResponses => format!("{url}/v1"),
        Wire::Anthropic | Wire::Gemini | Wire::Ollama => url.to_owned(),
    }
}

pub fn lane_at(name: &str, url: &str, wire: Wire) -> LaneConfig {
    let mut lane = LaneConfig::new(name, LaneKind::Cloud, wire_of(wire));
    lane.base_url = Some(base_url(url, wire));
    lane.api_key = Some(KEY.into());
    lane.models = vec!["scripted".to_owned()];
    lane.retries.base_ms = 1;
    lane.retries.max_ms = 2;
    lane
}

pub fn lane(name: &str, server: &Server, wire: Wire) -> LaneConfig {
    lane_at(name, &server.url(), wire)
}

pub fn router(lanes: Vec<LaneConfig>) -> Router {
    router_with(lanes, RouterSettings::default())
}

pub fn router_with(lanes: Vec<LaneConfig>, mut settings: RouterSettings) -> Router {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // An error would mean that another test's provider is installed, which is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    settings.seed = Some(1);
    settings.offline_word_ms = 0;
    Router::new(lanes, settings).unwrap()
}

/// A server with this script and a router with one lane to it.
pub async fn serve(wire: Wire, script: Script) -> (Server, Router) {
    let server = Server::with(script).await;
    let router = router(vec![lane("cloud", &server, wire)]);
    (server, router)
}

pub fn message(role: Role, content: Content) -> Message {
    Message {
        id: MessageId::new(Uuid::from_u128(1)),
        role,
        content,
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at: Timestamp::from_micros(0),
    }
}

pub fn said(role: Role, text: &str) -> Message {
    message(role, Content::Text(text.to_owned()))
}

pub fn tool(name: &str, schema: Value) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: format!("does {name}"),
        input_schema: schema.as_object().unwrap().clone(),
        effect: Effect::Idempotent,
        policy: Policy::Auto,
        version: "1".to_owned(),
    }
}

pub fn request_of(messages: Vec<Message>, tools: Vec<ToolSpec>) -> TurnRequest {
    TurnRequest {
        scope: OrgScope::new(OrgId::new("default").unwrap()),
        run_id: RunId::new(Uuid::from_u128(42)),
        system_prompt: "Be brief.".into(),
        messages: messages.into_iter().map(Arc::new).collect(),
        tools: tools.into(),
        wishes: Wishes {
            kinds: vec![LaneKind::Local, LaneKind::Cloud],
            ..Wishes::default()
        },
        failed_lanes: Vec::new(),
        max_output_tokens: None,
        temperature: None,
        account: Account::default(),
    }
}

pub fn request() -> TurnRequest {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    request_of(
        vec![said(Role::User, "hello")],
        vec![tool("weather", schema)],
    )
}

/// Everything that a stream said.
#[derive(Debug, Default)]
pub struct Said {
    pub lanes: Vec<LaneChoice>,
    pub text: String,
    pub reasoning: String,
    pub finish: Option<TurnFinish>,
    pub error: Option<ModelError>,
    /// How many deltas came.
    pub deltas: usize,
}

impl Said {
    pub fn calls(&self) -> Vec<(&str, &str)> {
        let calls = self.finish.iter().flat_map(|finish| &finish.calls);
        calls
            .map(|call| (call.name.as_str(), call.arguments.as_str()))
            .collect()
    }

    pub fn failure(&self) -> &ModelError {
        self.error.as_ref().expect("the turn failed")
    }
}

/// Reads a turn to its end, and checks the order that every stream must keep.
pub async fn turn(router: &Router, request: TurnRequest) -> Said {
    let mut stream = router.turn(request);
    let mut said = Said::default();
    while let Some(event) = stream.next().await {
        assert!(
            said.finish.is_none() && said.error.is_none(),
            "nothing follows the end"
        );
        match event {
            Ok(TurnEvent::Lane(choice)) => said.lanes.push(choice),
            Ok(TurnEvent::Text(text)) => {
                assert_eq!(said.lanes.len(), 1, "the lane is told before any text");
                said.text.push_str(&text);
                said.deltas += 1;
            }
            Ok(TurnEvent::Reasoning(text)) => {
                assert_eq!(said.lanes.len(), 1, "the lane is told before any text");
                said.reasoning.push_str(&text);
                said.deltas += 1;
            }
            Ok(TurnEvent::Finished(finish)) => {
                assert_eq!(said.lanes.len(), 1, "the lane is told once");
                said.finish = Some(finish);
            }
            Err(error) => said.error = Some(error),
        }
    }
    assert!(
        said.finish.is_some() || said.error.is_some(),
        "every stream has an end"
    );
    said
}
