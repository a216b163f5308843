//! The bus over a real NATS, as two servers use it.

use bus::{BusError, NatsBus, Patience, Settings, connect};
use domain::event::{Event, EventBody};
use domain::ports::bus::{Bus, Notice};
use domain::run::RunStatus;
use domain::{OrgId, OrgScope, RunId, Timestamp};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longer than a message takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(prefix: &str) -> Settings {
    let url = std::env::var("RUNYARD_TEST_NATS");
    Settings {
        url: url.unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned()),
        prefix: prefix.to_owned(),
        credentials: None,
    }
}

fn prefix() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

async fn server(prefix: &str) -> Arc<NatsBus> {
    let connected = connect(&settings(prefix), Patience::Now).await;
    connected.unwrap_or_else(|error| panic!("NATS: {error:?}; `cargo xtask services` starts it"))
}

fn scope(org: &str) -> OrgScope {
    OrgScope::new(OrgId::new(org).expect("a slug"))
}

fn run() -> RunId {
    RunId::new(Uuid::from_u128(7))
}

fn event(seq: u64) -> Arc<Event> {
    Arc::new(Event {
        seq,
        at: Timestamp::from_micros(1_700_000_000_000_001),
        body: EventBody::RunStatus {
            status: RunStatus::Running,
        },
    })
}

async fn next<T>(stream: &mut (impl futures::Stream<Item = T> + Unpin)) -> T {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await;
    next.expect("it comes in time").expect("the bus is there")
}

#[tokio::test]
async fn notices_reach_the_others_and_nobody_else() {
    let prefix = prefix();
    let (near, far) = (server(&prefix).await, server(&prefix).await);
    let elsewhere = server(&format!("{prefix}-else")).await;
    let mut own = near.notices().await;
    let mut others = far.notices().await;
    let mut strangers = elsewhere.notices().await;
    let org = OrgId::new("acme").expect("a slug");
    let notices = [
        Notice::Work,
        Notice::Changed {
            org: org.clone(),
            run: run(),
        },
        Notice::Inbox { org },
    ];
    let mut heard = Vec::new();
    for notice in &notices {
        near.tell(notice.clone()).await;
        heard.push(next(&mut others).await);
    }
    assert_eq!(heard, notices);
    // What the others say comes next: nothing of one's own, nothing of another installation, came before it.
    far.tell(Notice::Work).await;
    assert_eq!(next(&mut own).await, Notice::Work);
    let known = server(&format!("{prefix}-else")).await;
    known
        .tell(Notice::Inbox {
            org: OrgId::new("known").expect("a slug"),
        })
        .await;
    let Notice::Inbox { org } = next(&mut strangers).await else {
        panic!("the first that is heard is what its own kind said");
    };
    assert_eq!(org.as_str(), "known");
}

#[tokio::test]
async fn live_events_come_to_who_watches_the_run_of_that_org() {
    let prefix = prefix();
    let (near, far) = (server(&prefix).await, server(&prefix).await);
    let mut acme = far.live(&scope("acme"), run()).await;
    let mut other = far.live(&scope("other"), run()).await;
    near.tell_live(&scope("acme"), run(), &[event(1), event(2)])
        .await;
    near.tell_live(&scope("acme"), run(), &[]).await;
    near.tell_live(&scope("other"), run(), &[event(9)]).await;
    let numbers = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(numbers(next(&mut acme).await), [1, 2]);
    assert_eq!(numbers(next(&mut acme).await), [0_u64; 0]);
    // The same run id under another org is another subject.
    assert_eq!(numbers(next(&mut other).await), [9]);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_what_is_not_there_is_waited_for() {
    let mut bad = settings("runyard");
    bad.url = "nats://bad host:1".to_owned();
    assert!(matches!(
        connect(&bad, Patience::Now).await,
        Err(BusError::Address(_))
    ));
    let bad = settings("runyard.>");
    assert!(matches!(
        connect(&bad, Patience::Now).await,
        Err(BusError::Prefix(_))
    ));
    let mut nobody = settings(&prefix());
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    nobody.url = format!("nats://{}", port.expect("a free port"));
    assert!(matches!(
        connect(&nobody, Patience::Now).await,
        Err(BusError::Connect(_))
    ));
    let later = connect(&nobody, Patience::Later)
        .await
        .expect("it goes on without");
    assert!(!later.is_connected());
    later.tell(Notice::Work).await;
    later.flush().await;
}
