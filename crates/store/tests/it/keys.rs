//! API keys.

use crate::fixtures::{acme, at, revoked, scope, uuid};
use crate::harness::{Harness, on_both};
use domain::audit::{Actor, Deed, Entry};
use domain::key::{Key, KeyDigest, Role};
use domain::ports::store::StoreError;
use domain::{KeyId, OrgScope, RunId};

pub fn key_of(scope: &OrgScope, name: &str, role: Role) -> Key {
    let id = KeyId::new(uuid());
    Key {
        org: scope.org().clone(),
        id,
        name: name.to_owned(),
        role,
        digest: KeyDigest::of(&id.to_string()),
        session: None,
        created_at: at(1),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

async fn a_key_is_found_by_its_digest_with_every_field(h: &Harness) {
    let key = Key {
        session: Some(RunId::new(uuid())),
        expires_at: Some(at(9)),
        revoked_at: Some(at(8)),
        last_used_at: Some(at(7)),
        ..key_of(acme(), "phone", Role::Session)
    };
    h.store.insert_key(acme(), &key).await.unwrap();
    assert_eq!(
        h.store.system_find_key(&key.digest).await.unwrap(),
        Some(key)
    );
    let other = KeyDigest::of("another secret");
    assert_eq!(h.store.system_find_key(&other).await.unwrap(), None);
}

async fn keys_are_listed_newest_first(h: &Harness) {
    let old = key_of(acme(), "old", Role::Viewer);
    let new = Key {
        created_at: at(2),
        ..key_of(acme(), "new", Role::Developer)
    };
    for key in [&old, &new] {
        h.store.insert_key(acme(), key).await.unwrap();
    }
    assert_eq!(h.store.list_keys(acme()).await.unwrap(), [new, old]);
}

async fn a_secret_opens_one_org_only(h: &Harness) {
    let key = key_of(acme(), "first", Role::Owner);
    h.store.insert_key(acme(), &key).await.unwrap();
    let other = scope("other");
    let copy = Key {
        digest: key.digest,
        ..key_of(&other, "second", Role::Owner)
    };
    let refused = h.store.insert_key(&other, &copy).await.unwrap_err();
    assert!(matches!(refused, StoreError::Rejected(_)), "{refused:?}");
    assert_eq!(
        h.store.system_find_key(&key.digest).await.unwrap(),
        Some(key)
    );
}

async fn two_replicas_make_the_first_key_together(h: &Harness) {
    let one = key_of(acme(), "owner", Role::Owner);
    let two = Key {
        id: KeyId::new(uuid()),
        ..one.clone()
    };
    let (first, second) = tokio::join!(
        h.store.insert_key(acme(), &one),
        h.store.insert_key(acme(), &two)
    );
    first.unwrap();
    second.unwrap();
    let keys = h.store.list_keys(acme()).await.unwrap();
    assert!(keys == [one.clone()] || keys == [two], "{keys:?}");
    let viewer = Key {
        role: Role::Viewer,
        ..one
    };
    let refused = h.store.insert_key(acme(), &viewer).await.unwrap_err();
    assert!(matches!(refused, StoreError::Rejected(_)), "{refused:?}");
}

async fn revoking_twice_keeps_the_first_time(h: &Harness) {
    let key = key_of(acme(), "leaked", Role::Developer);
    h.store.insert_key(acme(), &key).await.unwrap();
    for time in [at(5), at(6)] {
        assert!(
            h.store
                .revoke_key(acme(), key.id, time, &revoked(key.id))
                .await
                .unwrap()
        );
    }
    let found = h.store.system_find_key(&key.digest).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(at(5)));
    let unknown = KeyId::new(uuid());
    assert!(
        !h.store
            .revoke_key(acme(), unknown, at(5), &revoked(unknown))
            .await
            .unwrap()
    );
}

async fn last_use_only_moves_forward(h: &Harness) {
    let key = key_of(acme(), "busy", Role::Developer);
    h.store.insert_key(acme(), &key).await.unwrap();
    for time in [at(30), at(20)] {
        let used = [(acme().org().clone(), key.id, time)];
        h.store.system_touch_keys(&used).await.unwrap();
    }
    let found = h.store.system_find_key(&key.digest).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(at(30)));
    h.store.system_touch_keys(&[]).await.unwrap();
}

fn token(scope: &OrgScope, session: RunId, expires: i64) -> Key {
    Key {
        session: Some(session),
        expires_at: Some(at(expires)),
        ..key_of(scope, "session", Role::Session)
    }
}

async fn tokens_are_revoked_by_their_session(h: &Harness) {
    let (session, other) = (RunId::new(uuid()), RunId::new(uuid()));
    let tokens = [
        token(acme(), session, 50),
        token(acme(), session, 60),
        token(acme(), session, 4),
        token(acme(), other, 50),
    ];
    for token in &tokens {
        h.store.insert_key(acme(), token).await.unwrap();
    }
    let other_org = scope("other");
    let revoke = async |scope, time| {
        let revoked = h.store.revoke_session_keys(scope, session, time).await;
        let mut revoked = revoked.unwrap();
        revoked.sort();
        revoked
    };
    assert_eq!(revoke(&other_org, at(5)).await, []);
    let mut live = vec![tokens[0].id, tokens[1].id];
    live.sort();
    assert_eq!(revoke(acme(), at(5)).await, live);
    assert_eq!(revoke(acme(), at(6)).await, []);
    let mut ended = Vec::new();
    for token in &tokens {
        let found = h.store.system_find_key(&token.digest).await.unwrap();
        ended.push(found.unwrap().revoked_at);
    }
    assert_eq!(ended, [Some(at(5)), Some(at(5)), None, None]);
}

async fn tokens_are_forgotten_after_their_end_and_not_listed(h: &Harness) {
    let session = RunId::new(uuid());
    let key = Key {
        expires_at: Some(at(1)),
        ..key_of(acme(), "ci", Role::Developer)
    };
    let (old, new) = (token(acme(), session, 4), token(acme(), session, 9));
    for key in [&key, &old, &new] {
        h.store.insert_key(acme(), key).await.unwrap();
    }
    let listed = h.store.list_keys(acme()).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&key));
    assert_eq!(h.store.system_sweep_session_keys(at(9)).await.unwrap(), 1);
    assert_eq!(h.store.system_sweep_session_keys(at(9)).await.unwrap(), 0);
    for (kept, expected) in [(&key, true), (&old, false), (&new, true)] {
        let found = h.store.system_find_key(&kept.digest).await.unwrap();
        assert_eq!(found.is_some(), expected, "{}", kept.name);
    }
}

async fn an_owner_is_known_once_there_is_one(h: &Harness) {
    assert!(!h.store.system_has_owner().await.unwrap());
    let viewer = key_of(acme(), "reader", Role::Viewer);
    h.store.insert_key(acme(), &viewer).await.unwrap();
    assert!(!h.store.system_has_owner().await.unwrap());
    let owner = key_of(acme(), "owner", Role::Owner);
    h.store.insert_key(acme(), &owner).await.unwrap();
    assert!(h.store.system_has_owner().await.unwrap());
}

fn created(key: &Key) -> Entry {
    Entry {
        at: key.created_at,
        actor: Actor::Operator,
        deed: Deed::KeyCreated {
            key_id: key.id,
            name: key.name.clone(),
            role: key.role,
            expires_at: key.expires_at,
        },
    }
}

async fn of_first_owners_made_at_once_one_stands(h: &Harness) {
    // The org may be there already, and keys of other roles do not count.
    let viewer = key_of(acme(), "reader", Role::Viewer);
    h.store.insert_key(acme(), &viewer).await.unwrap();
    let other = scope("other");
    let owners: Vec<Key> = (0..8)
        .map(|index| {
            let scope = if index % 2 == 0 { acme() } else { &other };
            key_of(scope, "owner", Role::Owner)
        })
        .collect();
    let entries: Vec<Entry> = owners.iter().map(created).collect();
    let making = owners.iter().zip(&entries).map(async |(owner, entry)| {
        let made = h.store.system_create_first_owner(owner, entry).await;
        made.unwrap().then_some(owner)
    });
    let made = futures::future::join_all(making).await;
    let made: Vec<&Key> = made.into_iter().flatten().collect();
    let [first] = made[..] else {
        panic!("{made:?}");
    };
    for owner in &owners {
        let found = h.store.system_find_key(&owner.digest).await.unwrap();
        assert_eq!(found.as_ref(), (owner == first).then_some(owner));
    }
    let scope = OrgScope::new(first.org.clone());
    let recorded = h.store.list_audit(&scope, 0, 9).await.unwrap();
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    let orgs = h.store.system_list_orgs().await.unwrap();
    assert!(orgs.contains(&first.org), "{orgs:?}");
}

async fn first_owner_cannot_have_anothers_key(h: &Harness) {
    let taken = key_of(acme(), "reader", Role::Viewer);
    h.store.insert_key(acme(), &taken).await.unwrap();
    let owner = Key {
        digest: taken.digest,
        ..key_of(acme(), "owner", Role::Owner)
    };
    let entry = created(&owner);
    let refused = h.store.system_create_first_owner(&owner, &entry).await;
    assert!(
        matches!(refused, Err(StoreError::Rejected(_))),
        "{refused:?}"
    );
    assert!(!h.store.system_has_owner().await.unwrap());
}

on_both!(
    of_first_owners_made_at_once_one_stands,
    first_owner_cannot_have_anothers_key,
    a_key_is_found_by_its_digest_with_every_field,
    keys_are_listed_newest_first,
    a_secret_opens_one_org_only,
    two_replicas_make_the_first_key_together,
    revoking_twice_keeps_the_first_time,
    last_use_only_moves_forward,
    tokens_are_revoked_by_their_session,
    tokens_are_forgotten_after_their_end_and_not_listed,
    an_owner_is_known_once_there_is_one,
);
