//! Sealed logins at MCP servers.

use crate::fixtures::{at, uuid};
use crate::harness::{Harness, on_both};
use domain::OrgId;
use domain::ports::logins::{LoginOf, SealedLogin};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

fn of(org: Option<&str>) -> LoginOf {
    LoginOf {
        server: "crm".to_owned(),
        org: org.map(|org| OrgId::new(org).unwrap()),
    }
}

fn login(sealed: &str, millis: i64) -> SealedLogin {
    SealedLogin {
        sealed: sealed.to_owned(),
        changed_at: at(millis),
    }
}

async fn a_login_is_of_one_server_and_one_org(h: &Harness) {
    let s = &h.store;
    let (all, acme) = (of(None), of(Some("acme")));
    s.system_put_login(&all, &login("a", 1)).await.unwrap();
    s.system_put_login(&acme, &login("b", 2)).await.unwrap();
    let elsewhere = LoginOf {
        server: "mail".to_owned(),
        org: None,
    };
    assert_eq!(
        s.system_find_login(&all).await.unwrap(),
        Some(login("a", 1))
    );
    assert_eq!(
        s.system_find_login(&acme).await.unwrap(),
        Some(login("b", 2))
    );
    for other in [of(Some("globex")), elsewhere] {
        assert_eq!(s.system_find_login(&other).await.unwrap(), None);
        assert!(!s.system_delete_login(&other).await.unwrap());
        assert!(!s.system_hold_login(&other, uuid(), LONG).await.unwrap());
    }
    assert!(s.system_delete_login(&acme).await.unwrap());
    assert_eq!(s.system_find_login(&acme).await.unwrap(), None);
    assert_eq!(
        s.system_find_login(&all).await.unwrap(),
        Some(login("a", 1))
    );
}

async fn one_holds_a_login_at_a_time_and_renews_it_alone(h: &Harness) {
    let s = &h.store;
    let (crm, one, two) = (of(Some("acme")), uuid(), uuid());
    s.system_put_login(&crm, &login("first", 1)).await.unwrap();
    assert!(s.system_hold_login(&crm, one, LONG).await.unwrap());
    assert!(!s.system_hold_login(&crm, two, LONG).await.unwrap());
    let stolen = s.system_renew_login(&crm, two, &login("stolen", 2)).await;
    assert!(!stolen.unwrap());
    s.system_release_login(&crm, two).await.unwrap();
    assert!(!s.system_hold_login(&crm, two, LONG).await.unwrap());
    let renewed = s.system_renew_login(&crm, one, &login("second", 3)).await;
    assert!(renewed.unwrap());
    assert_eq!(
        s.system_find_login(&crm).await.unwrap(),
        Some(login("second", 3))
    );
    // Renewing it has let it go.
    assert!(s.system_hold_login(&crm, two, LONG).await.unwrap());
    s.system_release_login(&crm, two).await.unwrap();
    assert!(s.system_hold_login(&crm, one, LONG).await.unwrap());
}

async fn a_hold_ends_with_its_time_and_with_a_new_login(h: &Harness) {
    let s = &h.store;
    let (crm, dead, other) = (of(None), uuid(), uuid());
    s.system_put_login(&crm, &login("old", 1)).await.unwrap();
    assert!(
        s.system_hold_login(&crm, dead, Duration::ZERO)
            .await
            .unwrap()
    );
    assert!(s.system_hold_login(&crm, other, LONG).await.unwrap());
    s.system_put_login(&crm, &login("new", 2)).await.unwrap();
    let late = s.system_renew_login(&crm, other, &login("late", 3)).await;
    assert!(!late.unwrap(), "a person has logged in again meanwhile");
    assert_eq!(
        s.system_find_login(&crm).await.unwrap(),
        Some(login("new", 2))
    );
}

on_both!(
    a_login_is_of_one_server_and_one_org,
    one_holds_a_login_at_a_time_and_renews_it_alone,
    a_hold_ends_with_its_time_and_with_a_new_login,
);
