//! The record of decisions: chained, in the commit of what it tells of, an org at a time.

use crate::fixtures::{acme, answer, ask, at, call, principal, revoked, scope, uuid};
use crate::harness::{Harness, on_both};
use crate::keys::key_of;
use domain::approval::{Choice, Decision};
use domain::audit::{Actor, Deed, Entry, Link};
use domain::key::Role;
use domain::ports::store::StoreError;
use domain::run::Input;
use domain::{KeyId, OrgScope};
use store::audit::{START, verify, verify_end};

fn entry(number: i64) -> Entry {
    Entry {
        at: at(number),
        actor: Actor::Server,
        deed: Deed::PolicyChanged {
            digest: format!("Größe {number}"),
        },
    }
}

/// The whole record, checked.
async fn record(h: &Harness, scope: &OrgScope) -> Vec<Link> {
    let links = h.store.list_audit(scope, 0, 1_000).await.unwrap();
    let end = verify(START, &links).unwrap();
    let head = h.store.audit_head(scope).await.unwrap();
    verify_end(end, head.unwrap_or(START)).unwrap();
    links
}

fn deeds(links: &[Link]) -> Vec<&'static str> {
    links
        .iter()
        .map(|link| {
            let entry: Entry = serde_json::from_str(&link.body).unwrap();
            entry.deed.name()
        })
        .collect()
}

async fn entries_are_chained_org_by_org(h: &Harness) {
    let other = scope("other");
    for number in 1..=3 {
        let two = [entry(number), entry(number + 10)];
        h.store.append_audit(acme(), &two).await.unwrap();
    }
    h.store.append_audit(&other, &[entry(9)]).await.unwrap();
    assert_eq!(record(h, acme()).await.len(), 6);
    assert_eq!(record(h, &other).await.len(), 1);
    let tail = h.store.list_audit(acme(), 4, 1).await.unwrap();
    assert_eq!(tail[0].seq, 5);
    assert!(tail[0].body.contains("Größe 3"));
    assert_eq!(h.store.audit_head(&scope("nobody")).await.unwrap(), None);
}

async fn entries_written_at_once_make_one_chain(h: &Harness) {
    let writes = (0..40).map(|number| {
        let org = if number % 4 == 0 {
            scope("other")
        } else {
            acme().clone()
        };
        let store = h.store.clone();
        async move { store.append_audit(&org, &[entry(number)]).await }
    });
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    assert_eq!(record(h, acme()).await.len(), 30);
    assert_eq!(record(h, &scope("other")).await.len(), 10);
}

async fn decision_and_its_entry_are_one_commit(h: &Harness) {
    let run = h.running(acme()).await;
    let asked = answer(&run, "may I?", vec![call("a", ask(at(50)))], at(2));
    h.commit(acme(), &asked, &run).await.unwrap();
    assert_eq!(record(h, acme()).await, [], "nothing was decided");
    let decision = Decision {
        choice: Choice::Approve,
        reason: None,
        arguments: None,
        remember: None,
        seen: None,
        by: principal(),
    };
    let input = Input::Resolved {
        approval: Box::new(asked.approvals[0].clone()),
        decision,
    };
    let resolved = asked.run.apply(input, at(5)).unwrap();
    h.commit(acme(), &resolved, &asked.run).await.unwrap();
    let lost = h.commit(acme(), &resolved, &asked.run).await;
    assert!(matches!(lost, Err(StoreError::Stale)));
    let links = record(h, acme()).await;
    assert_eq!(deeds(&links), ["approval.decided"]);
    assert!(links[0].body.contains(&asked.approvals[0].arguments_digest));
}

async fn keys_come_and_go_on_record_once(h: &Harness) {
    let key = key_of(acme(), "robot", Role::Developer);
    let made = Entry {
        at: at(1),
        actor: Actor::Operator,
        deed: Deed::KeyCreated {
            key_id: key.id,
            name: key.name.clone(),
            role: key.role,
            expires_at: None,
        },
    };
    for _ in 0..2 {
        h.store.create_key(acme(), &key, &made).await.unwrap();
    }
    for _ in 0..2 {
        let gone = h
            .store
            .revoke_key(acme(), key.id, at(5), &revoked(key.id))
            .await;
        assert!(gone.unwrap());
    }
    let unknown = KeyId::new(uuid());
    let gone = h
        .store
        .revoke_key(acme(), unknown, at(5), &revoked(unknown))
        .await;
    assert!(!gone.unwrap());
    assert_eq!(
        deeds(&record(h, acme()).await),
        ["key.created", "key.revoked"]
    );
    let session = key_of(acme(), "phone", Role::Session);
    h.store.insert_key(acme(), &session).await.unwrap();
    assert_eq!(record(h, acme()).await.len(), 2);
}

async fn change_of_the_server_is_on_every_record_once(h: &Harness) {
    for scope in [acme().clone(), scope("other")] {
        let key = key_of(&scope, "owner", Role::Owner);
        h.store.insert_key(&scope, &key).await.unwrap();
    }
    let note = async |value: &str| {
        h.store
            .system_note_fact("agent helper", value, &entry(1))
            .await
            .unwrap()
    };
    assert!(!note("v1").await, "what was not known before is no change");
    assert!(!note("v1").await);
    assert!(note("v2").await);
    assert!(!note("v2").await);
    for scope in [acme().clone(), scope("other")] {
        assert_eq!(record(h, &scope).await.len(), 1);
    }
    let orgs = h.store.system_list_orgs().await.unwrap();
    assert_eq!(
        orgs.iter().map(|org| org.as_str()).collect::<Vec<_>>(),
        [acme().org().as_str(), "other"]
    );
}

on_both!(
    entries_are_chained_org_by_org,
    entries_written_at_once_make_one_chain,
    decision_and_its_entry_are_one_commit,
    keys_come_and_go_on_record_once,
    change_of_the_server_is_on_every_record_once,
);
