//! Made-up histories: good ones pass, and each kind of broken server is found out.

use super::{Effects, History, Violation, Wish};
use crate::frames::Frame;
use crate::ledger::Entry;
use serde_json::{Value, json};

fn frame(seq: u64, event: &str, more: &Value) -> Frame {
    let mut data = json!({ "type": event, "seq": seq });
    for (name, value) in more.as_object().expect("an object") {
        data[name] = value.clone();
    }
    let text = format!("id: {seq}\nevent: {event}\ndata: {data}\n\n");
    Frame::parse(text.as_bytes()).expect("a good frame")
}

fn delta(seq: u64, message: &str, text: &str) -> Frame {
    frame(
        seq,
        "message_delta",
        &json!({ "message_id": message, "delta": text }),
    )
}

fn completed(seq: u64, message: &str, text: &str) -> Frame {
    let message = json!({ "message": { "id": message, "content": text } });
    frame(seq, "message_completed", &message)
}

fn done(seq: u64, status: &str) -> Frame {
    frame(seq, "done", &json!({ "status": status }))
}

/// A run whose first attempt died after two deltas that a watcher saw.
fn crashed() -> History {
    let begin = [
        frame(1, "run_created", &json!({})),
        frame(2, "run_status", &json!({})),
    ];
    let restarted = json!({ "message_id": "a", "turn": 1, "attempt": 2 });
    let mut log = begin.to_vec();
    log.push(frame(1000, "turn_restarted", &restarted));
    log.extend([
        delta(1001, "b", "x"),
        delta(1002, "b", "y"),
        completed(1003, "b", "xy"),
    ]);
    log.push(done(1004, "completed"));
    let mut seen = begin.to_vec();
    seen.extend([delta(3, "a", "x"), delta(4, "a", "z")]);
    History {
        log: Some(log),
        seen: vec![seen],
        cancelled: false,
    }
}

/// `crashed` with its log changed.
fn with_log(change: impl FnOnce(&mut Vec<Frame>)) -> Vec<Violation> {
    let mut history = crashed();
    change(history.log.as_mut().expect("it has one"));
    history.violations()
}

#[test]
fn good_history_passes() {
    assert_eq!(crashed().violations(), []);
    assert_eq!(crashed().restarts(), 1);
}

#[test]
fn run_ended_from_outside_in_mid_turn_passes() {
    let mut history = crashed();
    let log = history.log.as_mut().expect("it has one");
    log.truncate(2);
    log.extend([
        frame(1000, "run_status", &json!({})),
        done(1001, "cancelled"),
    ]);
    history.cancelled = true;
    assert_eq!(history.violations(), []);
}

#[test]
fn lost_run_is_found() {
    let mut history = crashed();
    history.log = None;
    assert_eq!(history.violations(), [Violation::Lost]);
}

#[test]
fn wrong_ends_are_found() {
    assert_eq!(with_log(|log| drop(log.pop())), [Violation::NotEnded]);
    let twice = with_log(|log| log.push(done(1005, "completed")));
    assert_eq!(twice, [Violation::EndedTwice]);
    let after = with_log(|log| log.push(frame(1005, "usage", &json!({}))));
    assert_eq!(after, [Violation::NotLast(1004)]);
    let headless = with_log(|log| drop(log.remove(0)));
    assert_eq!(headless, [Violation::NoBeginning, Violation::Vanished(1)]);
}

#[test]
fn wrong_numbers_are_found() {
    let gap = with_log(|log| drop(log.remove(4)));
    assert!(gap.contains(&Violation::Gap(1003)), "{gap:?}");
    let repeated = with_log(|log| log.insert(2, log[1].clone()));
    assert_eq!(repeated, [Violation::NotRising(2)]);
}

#[test]
fn number_used_twice_is_found() {
    let mut history = crashed();
    let log = history.log.as_mut().expect("it has one");
    // The second attempt goes on with the numbers of the first.
    log[2] = frame(3, "turn_restarted", &json!({ "message_id": "a" }));
    log[3] = delta(4, "b", "x");
    log[4] = delta(5, "b", "y");
    log[5] = completed(6, "b", "xy");
    log[6] = done(7, "completed");
    assert_eq!(
        history.violations(),
        [Violation::Changed(3), Violation::Changed(4)]
    );
}

#[test]
fn same_number_with_other_bytes_is_found() {
    let mut history = crashed();
    let mut other = delta(1001, "b", "x");
    other.bytes.insert(4, b'0');
    history.seen.push(vec![other]);
    assert_eq!(history.violations(), [Violation::Changed(1001)]);
}

#[test]
fn told_state_that_is_gone_is_found() {
    let mut history = crashed();
    history.seen[0].push(frame(5, "tool_call_started", &json!({})));
    assert_eq!(history.violations(), [Violation::Vanished(5)]);
}

#[test]
fn dead_text_that_nothing_makes_void_is_found() {
    let other = with_log(|log| {
        log[2] = frame(1000, "turn_restarted", &json!({ "message_id": "c" }));
    });
    assert_eq!(
        other,
        [Violation::Unaccounted(3), Violation::Unaccounted(4)]
    );
    let mut history = crashed();
    history.seen.push(vec![delta(2000, "d", "late")]);
    assert_eq!(history.violations(), [Violation::Unaccounted(2000)]);
}

#[test]
fn spliced_text_is_found() {
    let spliced = with_log(|log| log[5] = completed(1003, "b", "xzxy"));
    assert_eq!(spliced, [Violation::Spliced("b".to_owned())]);
}

#[test]
fn cancel_that_did_not_last_is_found() {
    let mut history = crashed();
    history.cancelled = true;
    assert_eq!(history.violations(), [Violation::NotCancelled]);
}

#[test]
fn effects_are_judged() {
    let judged = |wish, rows, entry: &Entry| {
        let entry = entry.clone();
        Effects { wish, rows, entry }.violations()
    };
    let nothing = Entry::default();
    assert_eq!(judged(Wish::Nothing, 0, &nothing), []);
    assert_eq!(judged(Wish::Row, 1, &nothing), []);
    assert_eq!(judged(Wish::Row, 2, &nothing), [Violation::Doubled("row")]);
    for wish in [Wish::Row, Wish::Plain, Wish::Keyed, Wish::Lookup] {
        assert_eq!(judged(wish, 0, &nothing), [Violation::NeverHappened]);
    }
    let mut plain = Entry {
        plain: 1,
        ..Entry::default()
    };
    assert_eq!(judged(Wish::Plain, 0, &plain), []);
    plain.unapproved = 1;
    assert_eq!(judged(Wish::Plain, 0, &plain), [Violation::Unapproved]);
    plain.plain = 2;
    plain.unapproved = 0;
    assert_eq!(
        judged(Wish::Plain, 0, &plain),
        [Violation::Doubled("unsafe call")]
    );
    let mut keyed = Entry::default();
    keyed.keyed.insert("a".to_owned(), 2);
    assert_eq!(
        judged(Wish::Keyed, 0, &keyed),
        [],
        "one key twice is one effect"
    );
    keyed.keyed.insert("b".to_owned(), 1);
    assert_eq!(judged(Wish::Keyed, 0, &keyed), [Violation::TwoKeys]);
}

#[test]
fn frames_are_read_strictly() {
    let good = "id: 3\nevent: usage\ndata: {\"type\":\"usage\",\"seq\":3}\n\n";
    assert!(Frame::parse(good.as_bytes()).is_ok());
    for wrong in [
        good.replace("id: 3", "id: 4"),
        good.replace("event: usage", "event: done"),
        good.replace("data: ", "data:"),
        good.replace("\n\n", "\ndata: forged\n\n"),
        good.trim_end().to_owned(),
    ] {
        assert!(Frame::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}
