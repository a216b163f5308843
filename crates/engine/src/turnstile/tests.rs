//! Order at the turnstile, and what is left behind.

use super::{Key, Place, Turnstiles};
use domain::{OrgId, RunId};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use uuid::Uuid;

type Entering = Pin<Box<dyn Future<Output = Place>>>;

fn key(run: u128) -> Key {
    let org = OrgId::new("acme").expect("a slug");
    (org, RunId::new(Uuid::from_u128(run)))
}

fn entering(turnstiles: &Arc<Turnstiles>, run: u128) -> Entering {
    let turnstiles = turnstiles.clone();
    Box::pin(async move { turnstiles.enter(key(run)).await })
}

fn poll(entering: &mut Entering) -> Option<Place> {
    match pin!(entering).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(place) => Some(place),
        Poll::Pending => None,
    }
}

fn open(turnstiles: &Turnstiles) -> usize {
    turnstiles.map.lock().expect("no panic").len()
}

#[test]
fn the_turn_comes_in_the_order_of_coming() {
    let turnstiles = Arc::new(Turnstiles::default());
    let mut front = poll(&mut entering(&turnstiles, 1)).expect("nobody is before it");
    let mut waiting: Vec<Entering> = (0..8).map(|_| entering(&turnstiles, 1)).collect();
    for one in &mut waiting {
        assert!(poll(one).is_none(), "one at a time");
    }
    while !waiting.is_empty() {
        drop(front);
        for later in &mut waiting[1..] {
            assert!(poll(later).is_none(), "not before its turn");
        }
        front = poll(&mut waiting.remove(0)).expect("it came first");
    }
    drop(front);
    assert_eq!(open(&turnstiles), 0);
}

#[test]
fn runs_do_not_wait_for_each_other() {
    let turnstiles = Arc::new(Turnstiles::default());
    let one = poll(&mut entering(&turnstiles, 1)).expect("nobody is before it");
    let two = poll(&mut entering(&turnstiles, 2)).expect("nobody is before it");
    assert_eq!(open(&turnstiles), 2);
    drop((one, two));
    assert_eq!(open(&turnstiles), 0);
}

#[test]
fn who_goes_away_while_waiting_leaves_nothing_behind() {
    let turnstiles = Arc::new(Turnstiles::default());
    let front = poll(&mut entering(&turnstiles, 1)).expect("nobody is before it");
    let mut impatient = entering(&turnstiles, 1);
    assert!(poll(&mut impatient).is_none());
    let mut patient = entering(&turnstiles, 1);
    assert!(poll(&mut patient).is_none());
    drop(impatient);
    drop(front);
    drop(poll(&mut patient).expect("its turn has come"));
    assert_eq!(open(&turnstiles), 0);
}
