//! Tests of the state machine: named facts, and random input sequences against the invariants that every run keeps.

mod approvals;
mod crashes;
mod decisions;
mod gate;
mod grants;
mod model;
mod random;
mod sessions;
mod turns;

use super::*;
use crate::event::{DeltaBlock, Event, EventBody};
use crate::ids::KeyId;
use crate::lane::LaneKind;
use crate::message::{Content, Role};
use crate::tool::{Effect, ToolOutcome, ToolResult};
use crate::{CallId, GrantId};
use uuid::Uuid;

pub(super) const T0: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub(super) fn at(seconds: u64) -> Timestamp {
    T0.plus(Duration::from_secs(seconds))
}

pub(super) fn principal() -> Principal {
    Principal {
        key_id: KeyId::new(Uuid::from_u128(7)),
        name: "tester".to_owned(),
        role: None,
    }
}

pub(super) fn lane() -> LaneChoice {
    LaneChoice {
        considered: Vec::new(),
        name: "main".to_owned(),
        kind: LaneKind::Cloud,
        model: "m".to_owned(),
        reason: "healthy".to_owned(),
    }
}

pub(super) fn user_message(text: &str) -> Message {
    Message {
        id: MessageId::new(Uuid::from_u128(1)),
        role: Role::User,
        content: Content::Text(text.to_owned()),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at: T0,
    }
}

pub(super) fn new_run(budget: Budget) -> Transition {
    let new = NewRun {
        org: OrgId::new("acme").expect("a valid slug"),
        id: RunId::new(Uuid::from_u128(42)),
        kind: RunKind::Thread {
            thread_id: ThreadId::new(Uuid::from_u128(43)),
        },
        agent_type: "helper".to_owned(),
        agent_version: "v1".to_owned(),
        request: RunRequest {
            budget,
            ..RunRequest::default()
        },
        created_by: principal(),
        lane: None,
        input: vec![user_message("hello")],
    };
    Run::create(new, T0)
}

/// A run that has begun its first model turn.
pub(super) fn begun() -> Run {
    step(&new_run(Budget::default()).run, Input::Start, 0).run
}

pub(super) fn step(run: &Run, input: Input, seconds: u64) -> Transition {
    run.apply(input, at(seconds))
        .expect("the input fits the state")
}

pub(super) fn answer(text: &str, calls: Vec<Planned>) -> Input {
    Input::TurnCompleted(Box::new(TurnAnswer {
        text: text.to_owned(),
        reasoning: None,
        calls,
        deltas: None,
        usage: Usage {
            input_tokens: 10,
            output_tokens: 5,
            ..Usage::default()
        },
        lane: lane(),
        truncated: false,
    }))
}

pub(super) fn call(name: &str, effect: Effect, verdict: Verdict) -> Planned {
    let arguments = serde_json::json!({ "id": name });
    Planned {
        client_id: None,
        name: name.to_owned(),
        arguments_digest: crate::tool::arguments_digest(&arguments),
        arguments,
        effect,
        tool_version: "t1".to_owned(),
        has_probe: false,
        verdict,
        judgement: Default::default(),
    }
}

pub(super) fn ask() -> Verdict {
    Verdict::Ask {
        risk: "writes".to_owned(),
        why: "policy".to_owned(),
        terms: crate::approval::Terms::default(),
        expires_at: at(3600),
    }
}

pub(super) fn events(transition: &Transition) -> Vec<Event> {
    transition
        .records
        .iter()
        .cloned()
        .flat_map(|record| record.events_after(0))
        .collect()
}

pub(super) fn types(transition: &Transition) -> Vec<&'static str> {
    events(transition)
        .iter()
        .map(|event| event.body.type_name())
        .collect()
}

pub(super) fn decide(transition: &Transition, approve: bool) -> Input {
    let approval = transition
        .approvals
        .last()
        .expect("an approval was asked for")
        .clone();
    let decision = crate::approval::Decision {
        choice: if approve {
            crate::approval::Choice::Approve
        } else {
            crate::approval::Choice::Deny
        },
        seen: None,
        reason: Some("because".to_owned()),
        arguments: None,
        remember: None,
        by: principal(),
    };
    Input::Resolved {
        approval: Box::new(approval),
        decision,
    }
}

pub(super) fn done(transition: &Transition) -> bool {
    matches!(
        events(transition).last(),
        Some(Event {
            body: EventBody::Done { .. },
            ..
        })
    )
}
