//! Who calls tools where the gateway is measured without a server around it.

use domain::agent::{Agent, Budget, DataPolicy};
use domain::budget::DayBudget;
use domain::key::Principal;
use domain::policy::Labels;
use domain::ports::clock::Clock;
use domain::ports::tools::CallContext;
use domain::{KeyId, OrgId, OrgScope, RunId, Timestamp};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub fn scope() -> anyhow::Result<OrgScope> {
    Ok(OrgScope::new(OrgId::new("bench")?))
}

/// A run of an agent that has this tool.
pub fn context(tool: &str) -> CallContext {
    CallContext {
        run_id: RunId::new(Uuid::from_u128(1)),
        thread_id: None,
        agent: Arc::new(Agent {
            agent_type: "bench".to_owned(),
            name: "Bench".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            models: Vec::new(),
            lanes: Vec::new(),
            tools: vec![tool.to_owned()],
            approvals: BTreeMap::new(),
            rules: Vec::new(),
            asking: BTreeMap::new(),
            on_message_while_waiting: None,
            intent_gate: None,
            budget: Budget::default(),
            daily: DayBudget::default(),
            data_policy: DataPolicy::Any,
            temperature: None,
            max_output_tokens: None,
            input_hints: Vec::new(),
            metadata: Map::new(),
            system_prompt: String::new(),
        }),
        caller: Principal {
            key_id: KeyId::new(Uuid::from_u128(2)),
            name: "bench".to_owned(),
            role: None,
        },
        metadata: Map::new(),
        thread_metadata: Map::new(),
        met: Labels::NONE,
        earlier_tools: Vec::new(),
    }
}

/// No time passes.
/// A clock that stands still.
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn uuid(&self) -> Uuid {
        Uuid::nil()
    }
}
