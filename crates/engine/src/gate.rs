//! Puts an input to an agent's gate: its rules first, and its model for what they leave open. The decision is the
//! domain's to record and to follow.

mod overrule;

pub use overrule::Overrule;

use domain::agent::{Agent, GateMode, IntentGate};
use domain::budget::Account;
use domain::gate::{
    DecidedBy, GATE_INPUT_CHARS_MAX, GateDecision, GateInput, GateModel, GateSettings, Opinion,
    framed, read_answer, system_prompt,
};
use domain::lane::{LaneChoice, SERVER_KINDS, Wishes};
use domain::message::{Content, Message, Role};
use domain::ports::gate::GateRules;
use domain::ports::model::{Models, TurnEvent, TurnRequest};
use domain::usage::Usage;
use domain::{MessageId, OrgScope, RunId, Timestamp};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a model's answer before it is cut off: one object is far shorter.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The gate of an agent that has one at work.
pub fn gate_of(agent: &Agent) -> Option<&IntentGate> {
    agent
        .intent_gate
        .as_ref()
        .filter(|gate| gate.mode != GateMode::Off)
}

/// What gates need of the world.
#[derive(Clone)]
pub struct Gatekeeper {
    pub rules: Arc<dyn GateRules>,
    pub models: Arc<dyn Models>,
}

/// What a model said, and what that cost whether it was of use or not.
struct Asked {
    answer: Result<(Opinion, DecidedBy), String>,
    usage: Usage,
}

impl Gatekeeper {
    /// The gate's decision; where it cannot tell, what the agent declared for that.
    pub async fn judge(
        &self,
        scope: &OrgScope,
        agent: &Agent,
        run: RunId,
        input: &GateInput,
    ) -> GateDecision {
        let mode = gate_of(agent).map_or(GateMode::Enforce, |gate| gate.mode);
        let gate = match self.rules.prepare(agent) {
            Ok(gate) => gate,
            Err(error) => {
                let settings = GateSettings::default();
                return GateDecision::of_error(agent, &settings, mode, &error.to_string());
            }
        };
        let settings = gate.settings();
        if input.text.chars().nth(GATE_INPUT_CHARS_MAX).is_some() {
            return GateDecision::of_error(agent, settings, mode, "the input is too long to judge");
        }
        if let Some(rule) = gate
            .first_match(input)
            .and_then(|index| settings.rules.get(index))
        {
            let by = DecidedBy::Rule {
                rule: rule.name.clone(),
            };
            return GateDecision::new(agent, settings, mode, rule.opinion(), by);
        }
        let Some(model) = &settings.model else {
            let opinion = Opinion {
                decision: settings.otherwise,
                intent: None,
                confidence: None,
                reason: "no rule matched".to_owned(),
                reply: None,
            };
            return GateDecision::new(agent, settings, mode, opinion, DecidedBy::Otherwise);
        };
        let asked = self.ask(scope, agent, model, run, input).await;
        let mut decision = match asked.answer {
            Ok((opinion, by)) => GateDecision::new(agent, settings, mode, opinion, by),
            Err(error) => {
                tracing::warn!(run.id = %run, error, "the gate's model was of no use");
                GateDecision::of_error(agent, settings, mode, &error)
            }
        };
        decision.usage = asked.usage;
        decision
    }

    async fn ask(
        &self,
        scope: &OrgScope,
        agent: &Agent,
        model: &GateModel,
        run: RunId,
        input: &GateInput,
    ) -> Asked {
        let request = request(scope, agent, model, run, input);
        let mut usage = Usage::default();
        let heard = self.hear(request, &mut usage);
        let patience = Duration::from_millis(model.timeout_ms);
        let answer = match tokio::time::timeout(patience, heard).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "the model did not answer in {} ms",
                model.timeout_ms
            )),
        };
        Asked { answer, usage }
    }

    async fn hear(
        &self,
        request: TurnRequest,
        usage: &mut Usage,
    ) -> Result<(Opinion, DecidedBy), String> {
        let mut stream = self.models.turn(request);
        let mut text = String::new();
        let mut lane: Option<LaneChoice> = None;
        while let Some(event) = stream.next().await {
            match event {
                Ok(TurnEvent::Lane(choice)) => lane = Some(choice),
                Ok(TurnEvent::Text(more)) => text.push_str(&more),
                Ok(TurnEvent::Reasoning(_)) => {}
                Ok(TurnEvent::Finished(finish)) => {
                    usage.add(&finish.usage);
                    let lane = lane.ok_or("the model did not say where it runs")?;
                    let by = DecidedBy::Model {
                        lane: lane.name,
                        model: lane.model,
                    };
                    return Ok((read_answer(&text)?, by));
                }
                Err(error) => {
                    usage.add(&error.usage);
                    return Err(error.failure.message);
                }
            }
            if text.len() > ANSWER_BYTES_MAX {
                return Err("the answer is too long".to_owned());
            }
        }
        Err("the model's answer broke off".to_owned())
    }
}

/// The question, under the agent's own data policy and price: a gate must not carry content where its agent may not.
fn request(
    scope: &OrgScope,
    agent: &Agent,
    model: &GateModel,
    run: RunId,
    input: &GateInput,
) -> TurnRequest {
    let question = Message {
        id: MessageId::new(run.uuid()),
        role: Role::User,
        content: Content::Text(framed(input)),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: Some(run),
        created_at: Timestamp::from_micros(0),
    };
    TurnRequest {
        scope: scope.clone(),
        run_id: run,
        system_prompt: system_prompt(agent, model).into(),
        messages: [Arc::new(question)].into_iter().collect(),
        tools: Arc::new([]),
        wishes: Wishes {
            models: model.models.clone(),
            lanes: model.lanes.clone(),
            ..Wishes::of(agent, &SERVER_KINDS)
        },
        failed_lanes: Vec::new(),
        max_output_tokens: Some(model.max_tokens),
        temperature: Some(0.0),
        account: Account {
            agent_type: agent.agent_type.clone(),
            daily: agent.daily,
        },
    }
}
