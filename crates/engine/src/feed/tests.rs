//! What a feed makes of another server's words, however they come.

use super::*;
use domain::Timestamp;
use domain::event::EventBody;
use domain::run::RunStatus;
use domain::usage::Usage;
use uuid::Uuid;

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let event = |seq| Event {
        seq,
        at: Timestamp::from_micros(0),
        body: EventBody::RunStatus {
            status: RunStatus::Running,
        },
    };
    numbers.into_iter().map(event).collect()
}

fn feed() -> Arc<Feed> {
    let feeds = Arc::new(Feeds::new(Outlet::default()));
    let org = OrgId::new("acme").expect("a slug");
    feeds.open(&org, RunId::new(Uuid::from_u128(1)))
}

/// The numbers that a watcher at `after` is given; `None` sends it to the store.
fn found(feed: &Feed, after: u64) -> Option<Vec<u64>> {
    match feed.read(after) {
        Found::Events(events) => Some(events.iter().map(|event| event.seq).collect()),
        Found::Nothing => Some(Vec::new()),
        Found::InStore => None,
    }
}

#[test]
fn words_in_order_are_passed_on_and_the_rest_is_in_the_store() {
    let feed = feed();
    assert_eq!(found(&feed, 0), None);
    assert_eq!(feed.hear(events(3..6)), Heard::InOrder);
    assert_eq!(feed.hear(events(6..8)), Heard::InOrder);
    assert_eq!(found(&feed, 1), None);
    assert_eq!(found(&feed, 2), Some((3..8).collect()));
    assert_eq!(found(&feed, 6), Some(vec![7]));
    // The newest may have been lost on the way: there is always the store to look into.
    assert_eq!(found(&feed, 7), None);
}

#[test]
fn what_was_missed_is_filled_in_when_it_is_told_again() {
    let feed = feed();
    feed.hear(events(10..13));
    assert_eq!(found(&feed, 4), None);
    assert_eq!(feed.hear(events(5..12)), Heard::InOrder);
    assert_eq!(found(&feed, 4), Some((5..13).collect()));
    assert_eq!(feed.hear(events(5..14)), Heard::InOrder);
    assert_eq!(found(&feed, 12), Some(vec![13]));
}

#[test]
fn a_lost_message_is_noticed_and_never_bridged() {
    let feed = feed();
    feed.hear(events(3..5));
    assert_eq!(feed.hear(events(7..9)), Heard::Gap);
    assert_eq!(found(&feed, 4), None);
    assert_eq!(found(&feed, 6), Some(vec![7, 8]));
}

#[test]
fn late_words_of_a_dead_attempt_change_nothing() {
    let feed = feed();
    feed.hear(events(3..6));
    feed.hear(events(1_000_000..1_000_002));
    assert_eq!(feed.hear(events(6..9)), Heard::InOrder);
    assert_eq!(found(&feed, 999_999), Some(vec![1_000_000, 1_000_001]));
    assert_eq!(found(&feed, 5), None);
}

#[test]
fn a_feed_with_a_driver_of_its_own_listens_to_nobody() {
    let feed = feed();
    feed.attach(4);
    feed.hear(events(5..9));
    assert_eq!(found(&feed, 4), Some(Vec::new()));
}

#[test]
fn what_is_kept_is_bounded() {
    let feed = feed();
    let last = 2 * HEARD_EVENTS as u64;
    for first in (1..=last).step_by(100) {
        feed.hear(events(first..first + 100));
    }
    assert_eq!(feed.lock().events.len(), HEARD_EVENTS);
    assert_eq!(found(&feed, 1), None);
}

/// A watcher who has everything is not kept waiting for what will never come, however long others hold the feed.
#[test]
fn whoever_has_heard_the_end_is_sent_to_the_store_that_knows_it() {
    let feed = feed();
    feed.attach(0);
    let mut done = events(1..2);
    done[0].body = EventBody::Done {
        status: RunStatus::Completed,
        summary: None,
        usage: Usage::default(),
        error: None,
    };
    feed.commit(done.into_iter().map(Record::Event).collect());
    assert_eq!(found(&feed, 0), Some(vec![1]));
    assert_eq!(found(&feed, 1), None);
    feed.detach();
    assert_eq!(found(&feed, 0), Some(vec![1]));
    assert_eq!(found(&feed, 1), None);
}
