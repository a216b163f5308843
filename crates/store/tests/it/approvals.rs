//! Approvals come and end with their run's commits.

use crate::fixtures::{EVERYTHING, acme, answer, ask, at, call, cancel, principal, scope};
use crate::harness::{Harness, on_both};
use domain::ApprovalId;
use domain::approval::{Approval, ApprovalStatus, Decision};
use domain::ports::store::{ApprovalFilter, Page};
use domain::run::Input;

async fn get(h: &Harness, id: ApprovalId) -> Approval {
    h.store.get_approval(acme(), id).await.unwrap().unwrap()
}

async fn an_approval_is_read_as_it_was_asked(h: &Harness) {
    let asked = h.awaiting(acme(), at(50)).await;
    let approval = &asked.approvals[0];
    assert_eq!(get(h, approval.id).await, *approval);
}

async fn a_decision_is_kept(h: &Harness) {
    let asked = h.awaiting(acme(), at(50)).await;
    let approval = asked.approvals[0].clone();
    let decision = Decision {
        choice: domain::approval::Choice::Deny,
        seen: None,
        reason: Some("too risky".to_owned()),
        arguments: None,
        remember: None,
        by: principal(),
    };
    let input = Input::Resolved {
        approval: Box::new(approval.clone()),
        decision,
    };
    let resolved = asked.run.apply(input, at(5)).unwrap();
    h.commit(acme(), &resolved, &asked.run).await.unwrap();
    let stored = get(h, approval.id).await;
    assert_eq!(stored, resolved.approvals[0]);
    assert_eq!(stored.status, ApprovalStatus::Denied);
    assert_eq!(stored.resolved_at, Some(at(5)));
}

async fn a_cancelled_run_takes_its_questions_with_it(h: &Harness) {
    let asked = h.awaiting(acme(), at(50)).await;
    let over = cancel(&asked.run, at(6));
    h.commit(acme(), &over, &asked.run).await.unwrap();
    let stored = get(h, asked.approvals[0].id).await;
    let wanted = Approval {
        status: ApprovalStatus::Cancelled,
        resolved_at: Some(at(6)),
        reason: stored.reason.clone(),
        ..asked.approvals[0].clone()
    };
    assert!(stored.reason.is_some());
    assert_eq!(stored, wanted);
    let due = h.store.system_due_approvals(at(99), 10).await.unwrap();
    assert_eq!(due, []);
}

/// The commit that asks is also the one that ends the run.
async fn a_question_that_ends_with_its_own_commit_is_closed(h: &Harness) {
    let run = h.running(acme()).await;
    let asked = answer(&run, "may I?", vec![call("a", ask(at(50)))], at(2));
    let over = cancel(&asked.run, at(2));
    let mut both = over.clone();
    both.approvals = asked.approvals.clone();
    both.records = [asked.records, over.records].concat();
    both.messages = [asked.messages, over.messages].concat();
    both.steps = [asked.steps, over.steps].concat();
    h.commit(acme(), &both, &run).await.unwrap();
    let stored = get(h, both.approvals[0].id).await;
    assert_eq!(stored.status, ApprovalStatus::Cancelled);
    assert_eq!(stored.resolved_at, Some(at(2)));
}

async fn a_closed_approval_is_not_opened_again(h: &Harness) {
    let asked = h.awaiting(acme(), at(50)).await;
    let expired = Input::Expired {
        approval: Box::new(asked.approvals[0].clone()),
    };
    let expired = asked.run.apply(expired, at(60)).unwrap();
    h.commit(acme(), &expired, &asked.run).await.unwrap();
    let mut again = cancel(&expired.run, at(61));
    again.approvals = asked.approvals.clone();
    h.commit(acme(), &again, &expired.run).await.unwrap();
    let stored = get(h, asked.approvals[0].id).await;
    assert_eq!(stored.status, ApprovalStatus::Expired);
}

async fn approvals_are_listed_by_what_is_asked(h: &Harness) {
    let first = h.awaiting(acme(), at(50)).await;
    let second = h.awaiting(acme(), at(60)).await;
    let over = cancel(&first.run, at(7));
    h.commit(acme(), &over, &first.run).await.unwrap();
    let (one, two) = (first.approvals[0].id, second.approvals[0].id);
    // Asked at the same time, so their ids decide.
    let order = [one.max(two), one.min(two)];
    let list = async |filter: ApprovalFilter, page: Page| -> Vec<ApprovalId> {
        let found = h.store.list_approvals(acme(), &filter, page).await;
        found.unwrap().iter().map(|approval| approval.id).collect()
    };
    let all = ApprovalFilter::default();
    assert_eq!(list(all.clone(), EVERYTHING).await, order);
    let pending = ApprovalFilter {
        status: Some(ApprovalStatus::Pending),
        run: None,
    };
    assert_eq!(list(pending, EVERYTHING).await, [two]);
    let of_run = ApprovalFilter {
        status: None,
        run: Some(first.run.id),
    };
    assert_eq!(list(of_run.clone(), EVERYTHING).await, [one]);
    let neither = ApprovalFilter {
        status: Some(ApprovalStatus::Pending),
        ..of_run
    };
    assert_eq!(list(neither, EVERYTHING).await, []);
    let newest = Page {
        limit: 1,
        below: None,
    };
    assert_eq!(list(all.clone(), newest).await, order[..1]);
    let rest = Page {
        limit: 1,
        below: Some((at(2), order[0].uuid())),
    };
    assert_eq!(list(all, rest).await, order[1..]);
}

async fn approvals_fall_due_in_every_org(h: &Harness) {
    let first = h.awaiting(acme(), at(50)).await;
    let other = scope("other");
    let second = h.awaiting(&other, at(60)).await;
    let due = async |millis, limit| {
        h.store
            .system_due_approvals(at(millis), limit)
            .await
            .unwrap()
    };
    let one = (acme().org().clone(), first.approvals[0].id);
    let two = (other.org().clone(), second.approvals[0].id);
    assert_eq!(due(49, 10).await, []);
    assert_eq!(due(50, 10).await, std::slice::from_ref(&one));
    assert_eq!(due(60, 10).await, [one.clone(), two]);
    assert_eq!(due(60, 1).await, [one]);
}

on_both!(
    an_approval_is_read_as_it_was_asked,
    a_decision_is_kept,
    a_cancelled_run_takes_its_questions_with_it,
    a_question_that_ends_with_its_own_commit_is_closed,
    a_closed_approval_is_not_opened_again,
    approvals_are_listed_by_what_is_asked,
    approvals_fall_due_in_every_org,
);
