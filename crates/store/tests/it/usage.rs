//! What ended runs used is counted once, in the step of time in which they ended.

use crate::fixtures::{AGENT, acme, answer, at, cancel, out_of_budget, principal, scope};
use crate::harness::{Harness, on_both};
use domain::ports::store::{CreatedRun, DeleteThread};
use domain::usage::{Usage, UsageBy, UsagePoint, UsageQuery};
use std::time::Duration;

fn by(by: UsageBy) -> UsageQuery {
    UsageQuery {
        from: at(0),
        to: at(3000),
        bucket: Duration::from_secs(1),
        by,
    }
}

fn point(millis: i64, group: &str, name: &str) -> UsagePoint {
    UsagePoint {
        at: at(millis),
        group: group.to_owned(),
        name: name.to_owned(),
        runs: 1,
        failed: 0,
        cancelled: 0,
        usage: Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        },
    }
}

/// One run completes in the first step, two end in the third: one completed, one cancelled before any model was asked.
async fn ended_runs_are_summed_by_time_and_group(h: &Harness) {
    for (text, ends) in [("Done.", 10), ("Also \u{0} done, \\u0000.", 2500)] {
        let run = h.running(acme()).await;
        let done = answer(&run, text, Vec::new(), at(ends));
        h.commit(acme(), &done, &run).await.unwrap();
    }
    let run = h.running(acme()).await;
    let over = cancel(&run, at(2999));
    h.commit(acme(), &over, &run).await.unwrap();
    h.running(acme()).await;

    let third = UsagePoint {
        runs: 2,
        cancelled: 1,
        ..point(2000, AGENT, AGENT)
    };
    let agents = h.store.usage(acme(), &by(UsageBy::Agent)).await.unwrap();
    assert_eq!(agents, [point(0, AGENT, AGENT), third.clone()]);

    let key = principal().key_id.to_string();
    let keys = h.store.usage(acme(), &by(UsageBy::Key)).await.unwrap();
    let third = UsagePoint {
        group: key.clone(),
        name: "Ada".to_owned(),
        ..third
    };
    assert_eq!(keys, [point(0, &key, "Ada"), third]);

    let lanes = h.store.usage(acme(), &by(UsageBy::Lane)).await.unwrap();
    let without = UsagePoint {
        cancelled: 1,
        usage: Usage::default(),
        ..point(2000, "", "")
    };
    let [first, third] = [0, 2000].map(|millis| point(millis, "offline", "offline"));
    assert_eq!(lanes, [first, without, third]);
}

async fn span_ends_before_its_end(h: &Harness) {
    let run = h.running(acme()).await;
    let done = answer(&run, "Done.", Vec::new(), at(1000));
    h.commit(acme(), &done, &run).await.unwrap();
    for (from, to, found) in [(0, 1000, 0), (1000, 2000, 1), (0, 1001, 1)] {
        let query = UsageQuery {
            from: at(from),
            to: at(to),
            ..by(UsageBy::Agent)
        };
        let points = h.store.usage(acme(), &query).await.unwrap();
        assert_eq!(points.len(), found, "{from}..{to}");
    }
}

async fn run_that_begins_ended_is_counted(h: &Harness) {
    let thread = h.thread(acme()).await;
    let refused = out_of_budget(acme(), thread, at(1));
    let created = h.create(acme(), &refused).await;
    assert!(matches!(created, CreatedRun::Started { .. }), "{created:?}");
    let points = h.store.usage(acme(), &by(UsageBy::Agent)).await.unwrap();
    let wanted = UsagePoint {
        failed: 1,
        usage: Usage::default(),
        ..point(0, AGENT, AGENT)
    };
    assert_eq!(points, [wanted]);
}

async fn use_is_an_orgs_own_and_outlives_its_thread(h: &Harness) {
    let run = h.running(acme()).await;
    let done = answer(&run, "Done.", Vec::new(), at(10));
    h.commit(acme(), &done, &run).await.unwrap();
    let other = h.store.usage(&scope("other"), &by(UsageBy::Agent)).await;
    assert_eq!(other.unwrap(), []);
    let deleted = h
        .store
        .delete_thread(acme(), run.thread_id().unwrap())
        .await;
    assert_eq!(deleted.unwrap(), DeleteThread::Deleted);
    let points = h.store.usage(acme(), &by(UsageBy::Agent)).await.unwrap();
    assert_eq!(points, [point(0, AGENT, AGENT)]);
}

on_both!(
    ended_runs_are_summed_by_time_and_group,
    span_ends_before_its_end,
    run_that_begins_ended_is_counted,
    use_is_an_orgs_own_and_outlives_its_thread,
);
