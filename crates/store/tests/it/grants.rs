//! Grants are made and used with their runs' commits, each use counted once.

use crate::fixtures::{acme, answer, ask, at, call, expected, principal, scope, uuid};
use crate::harness::{Harness, on_both};
use domain::approval::{Choice, Decision};
use domain::event::Record;
use domain::grant::{Grant, GrantScope, Remember};
use domain::limits::GRANT_TTL;
use domain::policy::{By, Judgement, Labels, Opinion, strictest};
use domain::ports::store::{Holder, Page, StoreError};
use domain::run::{Input, Run, Transition};
use domain::tool::Policy;
use domain::{GrantId, OrgScope};
use futures::future::join_all;

on_both!(
    an_approval_is_remembered_with_its_decision,
    a_use_is_counted_and_listed_with_its_commit,
    a_grant_that_is_used_up_revoked_or_over_stops_the_commit,
    a_stale_commit_counts_no_use,
    the_last_use_has_one_winner,
    revoking_races_with_use_and_never_lets_a_later_one_through,
    foreign_grants_are_not_there,
);

fn rival() -> OrgScope {
    scope("rival")
}

fn asked_for() -> Judgement {
    let opinion = Opinion {
        by: By::Tool,
        policy: Policy::Ask,
        why: None,
    };
    strictest([opinion], Labels::NONE)
}

fn of() -> GrantScope {
    GrantScope {
        agent_type: crate::fixtures::AGENT.to_owned(),
        tool_name: "delete_file".to_owned(),
        tool_version: "t1".to_owned(),
    }
}

/// Approves a call and remembers that for so many more.
async fn remembered(h: &Harness, scope: &OrgScope, uses: u32) -> Grant {
    let run = h.running(scope).await;
    let mut planned = call("delete_file", ask(at(500)));
    planned.judgement = asked_for();
    let asked = answer(&run, "may I?", vec![planned], at(2));
    h.commit(scope, &asked, &run).await.unwrap();
    let decision = Decision {
        choice: Choice::Approve,
        seen: None,
        reason: None,
        arguments: None,
        remember: Some(Remember {
            predicate: "args.n == 1".to_owned(),
            ttl: GRANT_TTL,
            uses,
        }),
        by: principal(),
    };
    let input = Input::Resolved {
        approval: Box::new(asked.approvals[0].clone()),
        decision,
    };
    let resolved = asked.run.apply(input, at(3)).unwrap();
    assert_eq!(resolved.grants.len(), 1);
    h.commit(scope, &resolved, &asked.run).await.unwrap();
    resolved.grants[0].clone()
}

/// A run whose call waits to be dispatched by the grant, and that dispatch.
async fn granted(h: &Harness, scope: &OrgScope, grant: GrantId) -> (Run, Transition) {
    let run = h.running(scope).await;
    let mut planned = call("delete_file", ask(at(500)));
    planned.judgement = asked_for();
    planned.judgement.grant = Some(grant);
    let ready = answer(&run, "I do", vec![planned], at(4));
    h.commit(scope, &ready, &run).await.unwrap();
    let calls = vec![ready.run.calls()[0].id.clone()];
    let sent = ready
        .run
        .apply(Input::Dispatching { calls }, at(5))
        .unwrap();
    assert_eq!(sent.grant_uses.len(), 1);
    (ready.run, sent)
}

async fn stored(h: &Harness, scope: &OrgScope, id: GrantId) -> Grant {
    h.store.get_grant(scope, id).await.unwrap().unwrap()
}

async fn an_approval_is_remembered_with_its_decision(h: &Harness) {
    let grant = remembered(h, acme(), 3).await;
    assert_eq!(stored(h, acme(), grant.id).await, grant);
    let live = h.store.live_grants(acme(), &of(), at(4)).await.unwrap();
    assert_eq!(live, std::slice::from_ref(&grant));
    for other in [
        GrantScope {
            agent_type: "other".to_owned(),
            ..of()
        },
        GrantScope {
            tool_name: "other".to_owned(),
            ..of()
        },
        GrantScope {
            tool_version: "t2".to_owned(),
            ..of()
        },
    ] {
        let live = h.store.live_grants(acme(), &other, at(4)).await.unwrap();
        assert_eq!(live, []);
    }
    let over = grant.expires_at;
    assert_eq!(h.store.live_grants(acme(), &of(), over).await.unwrap(), []);
}

async fn a_use_is_counted_and_listed_with_its_commit(h: &Harness) {
    let grant = remembered(h, acme(), 3).await;
    let (run, sent) = granted(h, acme(), grant.id).await;
    assert_eq!(stored(h, acme(), grant.id).await.used, 0);
    h.commit(acme(), &sent, &run).await.unwrap();
    assert_eq!(stored(h, acme(), grant.id).await.used, 1);
    let uses = h.store.grant_uses(acme(), grant.id).await.unwrap();
    assert_eq!(uses, sent.grant_uses);
    assert_eq!(h.get_run(acme(), run.id).await, sent.run);
}

async fn a_grant_that_is_used_up_revoked_or_over_stops_the_commit(h: &Harness) {
    let spent = remembered(h, acme(), 1).await;
    let (first, sent) = granted(h, acme(), spent.id).await;
    let (second, late) = granted(h, acme(), spent.id).await;
    h.commit(acme(), &sent, &first).await.unwrap();
    let refused = h.commit(acme(), &late, &second).await;
    assert!(matches!(refused, Err(StoreError::GrantGone)), "{refused:?}");
    assert_eq!(h.get_run(acme(), second.id).await, second);

    let revoked = remembered(h, acme(), 9).await;
    let (run, sent) = granted(h, acme(), revoked.id).await;
    let by = principal();
    let said = h.store.revoke_grant(acme(), revoked.id, &by, at(4));
    let said = said.await.unwrap().unwrap();
    assert_eq!(
        (said.revoked_at, said.revoked_by),
        (Some(at(4)), Some(principal()))
    );
    let again = h.store.revoke_grant(acme(), revoked.id, &by, at(9));
    assert_eq!(again.await.unwrap().unwrap().revoked_at, Some(at(4)));
    let links = h.store.list_audit(acme(), 0, 1_000).await.unwrap();
    let told = encoded(&Grant::revocation(revoked.id, &by, at(4)));
    let times = links.iter().filter(|link| link.body == told).count();
    assert_eq!(times, 1, "the record tells of the first: {links:?}");
    let refused = h.commit(acme(), &sent, &run).await;
    assert!(matches!(refused, Err(StoreError::GrantGone)), "{refused:?}");

    let short = remembered(h, acme(), 9).await;
    let (run, _) = granted(h, acme(), short.id).await;
    let calls = vec![run.calls()[0].id.clone()];
    let over = short.expires_at;
    let sent = run.apply(Input::Dispatching { calls }, over).unwrap();
    let refused = h.commit(acme(), &sent, &run).await;
    assert!(matches!(refused, Err(StoreError::GrantGone)), "{refused:?}");
    assert_eq!(stored(h, acme(), short.id).await.used, 0);

    // Whoever was promised the grant asks a person instead.
    let call = run.calls()[0].id.clone();
    let asks = run.apply(Input::GrantGone { call }, at(6)).unwrap();
    h.commit(acme(), &asks, &run).await.unwrap();
    let pending = h
        .store
        .get_approval(acme(), asks.approvals[0].id)
        .await
        .unwrap();
    assert!(
        pending
            .unwrap()
            .why
            .contains("was used up, revoked or over")
    );
}

async fn a_stale_commit_counts_no_use(h: &Harness) {
    let grant = remembered(h, acme(), 3).await;
    let (run, sent) = granted(h, acme(), grant.id).await;
    let mut old = expected(&run);
    old.version -= 1;
    let refused = h
        .store
        .commit_run(acme(), &sent, old, Holder::Unchanged)
        .await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    assert_eq!(stored(h, acme(), grant.id).await.used, 0);
    assert_eq!(h.store.grant_uses(acme(), grant.id).await.unwrap(), []);
}

/// A thousand grants with one use left, two calls for each of them at once.
async fn the_last_use_has_one_winner(h: &Harness) {
    const PAIRS: usize = 4;
    let grants = single_uses(h, 1_000).await;
    let mut waiting = Vec::new();
    for _ in 0..2 * PAIRS {
        waiting.push(granted(h, acme(), grants[0]).await);
    }
    for round in grants.chunks(PAIRS) {
        for (at, (run, sent)) in waiting.iter_mut().enumerate() {
            sent.grant_uses[0].grant_id = round[at / 2];
            let stored = h.get_run(acme(), run.id).await;
            back_to(run, sent, &stored);
        }
        let racing = waiting
            .iter()
            .map(|(run, sent)| h.commit(acme(), sent, run));
        let won: Vec<bool> = join_all(racing)
            .await
            .into_iter()
            .map(|committed| match committed {
                Ok(_) => true,
                Err(StoreError::GrantGone) => false,
                Err(error) => panic!("{error}"),
            })
            .collect();
        for pair in won.chunks(2) {
            assert!(pair[0] != pair[1], "{won:?}");
        }
    }
    for id in grants {
        assert_eq!(stored(h, acme(), id).await.used, 1);
        assert_eq!(h.store.grant_uses(acme(), id).await.unwrap().len(), 1);
    }
}

/// Many grants with one use each, made by one commit.
async fn single_uses(h: &Harness, count: usize) -> Vec<GrantId> {
    let grant = remembered(h, acme(), 1).await;
    let (run, mut sent) = granted(h, acme(), grant.id).await;
    sent.grant_uses.clear();
    sent.grants = (0..count)
        .map(|_| Grant {
            id: GrantId::new(uuid()),
            ..grant.clone()
        })
        .collect();
    h.commit(acme(), &sent, &run).await.unwrap();
    sent.grants.iter().map(|grant| grant.id).collect()
}

/// Makes a dispatch again from what is stored now, so that one run can be raced with often.
fn back_to(run: &mut Run, sent: &mut Transition, stored: &Run) {
    run.version = stored.version;
    sent.run.version = stored.version + 1;
    for record in &mut sent.records {
        if let Record::Event(event) = record {
            event.seq += 1_000;
        }
    }
}

async fn revoking_races_with_use_and_never_lets_a_later_one_through(h: &Harness) {
    for _ in 0..20 {
        let grant = remembered(h, acme(), 9).await;
        let (run, sent) = granted(h, acme(), grant.id).await;
        let by = principal();
        let (used, revoked) = tokio::join!(
            h.commit(acme(), &sent, &run),
            h.store.revoke_grant(acme(), grant.id, &by, at(5))
        );
        revoked.unwrap();
        let let_through = used.is_ok();
        let (late, sent) = granted(h, acme(), grant.id).await;
        let refused = h.commit(acme(), &sent, &late).await;
        assert!(matches!(refused, Err(StoreError::GrantGone)), "{refused:?}");
        assert_eq!(
            stored(h, acme(), grant.id).await.used,
            u32::from(let_through)
        );
    }
}

async fn foreign_grants_are_not_there(h: &Harness) {
    let grant = remembered(h, acme(), 3).await;
    let page = Page {
        limit: 50,
        below: None,
    };
    assert_eq!(
        h.store.list_grants(acme(), page).await.unwrap(),
        std::slice::from_ref(&grant)
    );
    assert_eq!(h.store.list_grants(&rival(), page).await.unwrap(), []);
    assert_eq!(h.store.get_grant(&rival(), grant.id).await.unwrap(), None);
    assert_eq!(h.store.grant_uses(&rival(), grant.id).await.unwrap(), []);
    assert_eq!(
        h.store.live_grants(&rival(), &of(), at(4)).await.unwrap(),
        []
    );
    let (other, by) = (rival(), principal());
    let revoked = h.store.revoke_grant(&other, grant.id, &by, at(4));
    assert_eq!(revoked.await.unwrap(), None);
    let (run, sent) = granted(h, &rival(), grant.id).await;
    let refused = h.commit(&rival(), &sent, &run).await;
    assert!(matches!(refused, Err(StoreError::GrantGone)), "{refused:?}");
    assert_eq!(stored(h, acme(), grant.id).await, grant);
    let unknown = GrantId::new(uuid());
    assert_eq!(h.store.get_grant(acme(), unknown).await.unwrap(), None);
}

fn encoded(entry: &domain::audit::Entry) -> String {
    serde_json::to_string(entry).unwrap()
}
