//! A person's yes to a planned call, given through the run's own state machine.

use crate::support::{NOW, scope};
use domain::approval::{Approval, ApprovalKind, ApprovalStatus, Choice, Decision};
use domain::audit::Deed;
use domain::key::Principal;
use domain::lane::{LaneChoice, LaneKind};
use domain::ports::tools::CallContext;
use domain::run::{Call, Input, NewRun, Next, Planned, Run, RunKind, RunRequest, TurnAnswer};
use domain::usage::Usage;
use domain::{KeyId, ThreadId};
use uuid::Uuid;

pub fn approver() -> Principal {
    Principal {
        key_id: KeyId::new(Uuid::from_u128(55)),
        name: "approver".to_owned(),
        role: None,
    }
}

/// The call as it is about to be sent, and what was approved.
pub fn approved(context: &CallContext, planned: Planned) -> (Call, Approval) {
    let new = NewRun {
        org: scope().org().clone(),
        id: context.run_id,
        kind: RunKind::Thread {
            thread_id: ThreadId::new(Uuid::from_u128(3)),
        },
        agent_type: "advisor".to_owned(),
        agent_version: "1".to_owned(),
        request: RunRequest::default(),
        created_by: context.caller.clone(),
        lane: None,
        input: Vec::new(),
    };
    let apply = |run: &Run, input| run.apply(input, NOW).unwrap();
    let begun = apply(&Run::create(new, NOW).run, Input::Start);
    let answer = TurnAnswer {
        text: String::new(),
        reasoning: None,
        calls: vec![planned],
        deltas: None,
        usage: Usage::default(),
        lane: LaneChoice {
            name: "l".to_owned(),
            kind: LaneKind::Local,
            model: "m".to_owned(),
            reason: String::new(),
            considered: Vec::new(),
        },
        truncated: false,
    };
    let asked = apply(&begun.run, Input::TurnCompleted(Box::new(answer)));
    let approval = asked.approvals[0].clone();
    assert_eq!(
        (approval.status, approval.kind),
        (ApprovalStatus::Pending, ApprovalKind::ToolCall)
    );
    let decision = Decision {
        choice: Choice::Approve,
        reason: None,
        arguments: None,
        remember: None,
        seen: Some(approval.arguments_digest.clone()),
        by: approver(),
    };
    let decided = apply(
        &asked.run,
        Input::Resolved {
            approval: Box::new(approval.clone()),
            decision,
        },
    );
    assert!(matches!(decided.audit[0].deed, Deed::ApprovalDecided(_)));
    let Next::Dispatch(calls) = decided.run.next() else {
        panic!("it is to be sent")
    };
    let ids = vec![calls[0].id.clone()];
    let sent = apply(&decided.run, Input::Dispatching { calls: ids });
    (sent.run.calls()[0].clone(), approval)
}
