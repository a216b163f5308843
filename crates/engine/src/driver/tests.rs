//! Letters to drivers that leave in the same moment.

use super::{Drivers, Mail};
use crate::feed::Feeds;
use crate::remote::Outlet;
use domain::{OrgId, RunId};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Often enough that some letters arrive between the last look into a mailbox and its end.
const ROUNDS: u128 = 30_000;

#[test]
fn letter_to_a_driver_that_leaves_is_answered_or_given_back() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let drivers = Arc::new(Drivers::default());
    let feeds = Arc::new(Feeds::new(Outlet::default()));
    let org = OrgId::new("acme").expect("a name");
    let start = Arc::new(Barrier::new(2));
    let (give, take) = std::sync::mpsc::sync_channel(1);
    let leaving = std::thread::spawn({
        let start = start.clone();
        move || {
            for seat in take {
                start.wait();
                drop(seat);
            }
        }
    });
    for round in 0..ROUNDS {
        let run = RunId::new(Uuid::from_u128(round + 1));
        let seat = drivers
            .enter(feeds.open(&org, run), 0)
            .expect("nobody sits there");
        give.send(seat).expect("it is taken");
        runtime.block_on(async {
            let (reply, answer) = oneshot::channel();
            let letter = || Mail::Cancel {
                reason: None,
                by: None,
                reply,
            };
            start.wait();
            if drivers.post(&org, run, letter).await {
                let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
                let answer = answer.unwrap_or_else(|_| panic!("round {round}: it lies there"));
                assert!(answer.is_err(), "nobody answers");
            }
        });
    }
    drop(give);
    leaving.join().expect("no panic");
}
