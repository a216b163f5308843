//! The log is read from any number on, with nothing lost and nothing twice.

use crate::fixtures::{acme, answer, ask, at, begun, call, queued, uuid};
use crate::harness::{Harness, on_both};
use domain::RunId;
use domain::event::{Event, Record};
use domain::run::{Run, Verdict};

/// A finished run and all its records.
async fn finished(h: &Harness) -> (Run, Vec<Record>) {
    let thread = h.thread(acme()).await;
    let started = begun(&queued(acme(), thread, "hello", at(1)), at(1));
    h.create(acme(), &started).await;
    let calls = vec![call("a", Verdict::Run), call("b", ask(at(99)))];
    let asked = answer(&started.run, "two calls", calls, at(2));
    h.commit(acme(), &asked, &started.run).await.unwrap();
    let over = crate::fixtures::cancel(&asked.run, at(3));
    h.commit(acme(), &over, &asked.run).await.unwrap();
    let records = [started.records, asked.records, over.records].concat();
    (over.run, records)
}

fn events(records: Vec<Record>, after: u64) -> Vec<Event> {
    records
        .into_iter()
        .flat_map(|record| record.events_after(after))
        .collect()
}

async fn the_whole_log_is_read_in_order(h: &Harness) {
    let (run, records) = finished(h).await;
    let read = h.store.read_log(acme(), run.id, 0, 1000).await.unwrap();
    assert_eq!(read, records);
    let seqs: Vec<u64> = events(read, 0).iter().map(|event| event.seq).collect();
    let counted: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, counted);
}

async fn any_number_is_a_place_to_go_on_from(h: &Harness) {
    let (run, records) = finished(h).await;
    let all = events(records, 0);
    for after in 0..=all.len() as u64 {
        let read = h.store.read_log(acme(), run.id, after, 1000).await;
        let rest = events(read.unwrap(), after);
        let skipped = usize::try_from(after).unwrap();
        assert_eq!(rest, all[skipped..], "after {after}");
    }
    let read = h.store.read_log(acme(), run.id, u64::MAX, 10).await;
    assert_eq!(read.unwrap(), []);
}

async fn a_log_is_read_in_portions(h: &Harness) {
    let (run, records) = finished(h).await;
    let all = events(records, 0);
    for limit in [1, 2, 3, 5] {
        let mut after = 0;
        let mut found = Vec::new();
        loop {
            let read = h.store.read_log(acme(), run.id, after, limit).await;
            let read = read.unwrap();
            assert!(read.len() <= limit as usize);
            let Some(last) = read.last() else { break };
            let next = last.last_seq();
            found.extend(events(read, after));
            after = next;
        }
        assert_eq!(found, all, "portions of {limit}");
    }
}

async fn an_unknown_run_has_no_log(h: &Harness) {
    let unknown = RunId::new(uuid());
    let read = h.store.read_log(acme(), unknown, 0, 10).await.unwrap();
    assert_eq!(read, []);
}

on_both!(
    the_whole_log_is_read_in_order,
    any_number_is_a_place_to_go_on_from,
    a_log_is_read_in_portions,
    an_unknown_run_has_no_log,
);
