//! A grant stands in for a person until the call is dispatched, and no longer.

use super::*;
use crate::approval::Decision;
use crate::grant::Remember;
use crate::policy::{By, Opinion, strictest};
use crate::tool::Policy;

fn judged(policy: Policy, grant: Option<GrantId>) -> Planned {
    let opinion = Opinion {
        by: By::Tool,
        policy,
        why: None,
    };
    let mut planned = call("pay", Effect::Keyed, ask());
    planned.judgement = strictest([opinion], Labels::NONE);
    planned.judgement.grant = grant;
    planned
}

fn grant() -> GrantId {
    GrantId::new(Uuid::from_u128(9))
}

/// A run whose one call a grant covers.
fn granted() -> Run {
    let planned = judged(Policy::Ask, Some(grant()));
    let transition = step(&begun(), answer("", vec![planned]), 1);
    assert_eq!(transition.approvals, []);
    assert_eq!(
        types(&transition),
        [
            "lane_changed",
            "message_completed",
            "usage",
            "tool_call_requested"
        ]
    );
    transition.run
}

#[test]
fn a_granted_call_is_dispatched_by_a_commit_that_counts_the_use() {
    let run = granted();
    let Next::Dispatch(calls) = run.next() else {
        panic!("{:?}", run.next());
    };
    let call = calls[0].clone();
    let dispatching = Input::Dispatching {
        calls: vec![call.id.clone()],
    };
    let sent = step(&run, dispatching, 2);
    assert_eq!(sent.grant_uses.len(), 1);
    let used = &sent.grant_uses[0];
    assert_eq!(
        (used.grant_id, used.run_id, &used.call_id, used.at),
        (grant(), run.id, &call.id, at(2))
    );
    assert_eq!(used.arguments_digest, call.arguments_digest);
    let ledger = sent.steps[0].call.as_ref().expect("a ledger entry");
    assert_eq!(ledger.judgement.grant, Some(grant()));
    // Taken up after a crash it is sent again, which is no other use.
    let again = step(&sent.run, Input::Recovered { crashed: true }, 3);
    assert_eq!(again.grant_uses, []);
    assert!(matches!(again.run.next(), Next::AwaitTools(calls) if calls.len() == 1));
}

#[test]
fn without_its_grant_the_person_is_asked_what_they_would_have_been() {
    let run = granted();
    let call = run.calls()[0].id.clone();
    let asked = step(&run, Input::GrantGone { call: call.clone() }, 2);
    assert_eq!(asked.run.status(), RunStatus::AwaitingApproval);
    let approval = &asked.approvals[0];
    assert_eq!(
        (&approval.call_id, approval.risk.as_str()),
        (&call, "writes")
    );
    assert_eq!(approval.expires_at, at(3600));
    assert!(approval.why.starts_with("policy; a grant covered the call"));
    assert_eq!(asked.run.calls()[0].judgement.grant, None);
    let decided = step(&asked.run, decide(&asked, true), 3);
    assert!(matches!(decided.run.next(), Next::Dispatch(_)));
    let gone = run.apply(Input::GrantGone { call }, at(3));
    assert!(gone.is_ok());
    let twice = asked.run.apply(
        Input::GrantGone {
            call: asked.run.calls()[0].id.clone(),
        },
        at(3),
    );
    assert!(twice.is_err(), "nothing stands in any more");
}

#[test]
fn a_cancelled_run_never_sends_a_granted_call() {
    let cancel = Input::Cancel {
        reason: None,
        by: None,
        deltas: Partial::Unknown,
    };
    let over = step(&granted(), cancel, 2);
    assert_eq!(over.run.status(), RunStatus::Cancelled);
    assert_eq!(over.grant_uses, []);
}

fn remember(asked: &Transition, approve: bool) -> Transition {
    let decision = Decision {
        choice: if approve {
            crate::approval::Choice::Approve
        } else {
            crate::approval::Choice::Deny
        },
        seen: None,
        reason: None,
        arguments: None,
        remember: Some(Remember {
            predicate: "args.id == 'pay'".to_owned(),
            ttl: Duration::from_secs(60),
            uses: 3,
        }),
        by: principal(),
    };
    let approval = Box::new(asked.approvals[0].clone());
    step(&asked.run, Input::Resolved { approval, decision }, 2)
}

#[test]
fn an_approval_is_remembered_for_its_own_agent_tool_and_definition() {
    let planned = judged(Policy::Ask, None);
    let asked = step(&begun(), answer("", vec![planned]), 1);
    let resolved = remember(&asked, true);
    let grant = &resolved.grants[0];
    assert_eq!(
        (
            grant.agent_type.as_str(),
            grant.tool_name.as_str(),
            grant.tool_version.as_str()
        ),
        ("helper", "pay", "t1")
    );
    assert_eq!((grant.created_at, grant.expires_at), (at(2), at(62)));
    assert_eq!((grant.uses_max, grant.used), (3, 0));
    assert_eq!(grant.approval_id, asked.approvals[0].id);
    assert_eq!(remember(&asked, false).grants, []);
}

#[test]
fn what_always_asks_is_never_remembered() {
    for policy in [Policy::AlwaysAsk, Policy::Deny] {
        let asked = step(&begun(), answer("", vec![judged(policy, None)]), 1);
        assert_eq!(remember(&asked, true).grants, []);
    }
}

#[test]
fn a_run_has_met_what_its_dispatched_calls_touch() {
    let labels = |labels: &[crate::policy::Label]| labels.iter().copied().collect::<Labels>();
    let private = labels(&[crate::policy::Label::ReadsPrivate]);
    let changes = labels(&[crate::policy::Label::ChangesState]);
    let both = labels(&[
        crate::policy::Label::ReadsPrivate,
        crate::policy::Label::ChangesState,
    ]);
    let mut read = call("read", Effect::Idempotent, Verdict::Run);
    read.judgement.labels = private;
    let mut denied = call(
        "denied",
        Effect::Unsafe,
        Verdict::Deny {
            reason: "no".to_owned(),
        },
    );
    denied.judgement.labels = labels(&[crate::policy::Label::ReadsUntrusted]);
    let mut pay = judged(Policy::Ask, Some(grant()));
    pay.judgement.labels = changes;
    let run = step(&begun(), answer("", vec![read, denied, pay]), 1).run;
    assert_eq!(
        run.met, private,
        "what waits or is denied has touched nothing"
    );
    let calls = vec![run.calls()[2].id.clone()];
    let run = step(&run, Input::Dispatching { calls }, 2).run;
    assert_eq!(run.met, both);
    let stored: Run =
        serde_json::from_str(&serde_json::to_string(&run).expect("JSON")).expect("a run");
    assert_eq!(stored.met, run.met);
}
