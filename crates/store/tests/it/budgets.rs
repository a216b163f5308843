//! What is taken from a day, by many at once.

use crate::fixtures::{acme, scope};
use crate::harness::{Harness, on_both};
use domain::budget::{Ceiling, DayBudget, Exhausted, Reservation, Spend, Subject};
use futures::future::join_all;

on_both!(
    many_turns_at_once_never_pass_a_ceiling_together,
    all_days_are_taken_from_or_none,
    what_was_not_used_is_given_back,
    a_day_is_its_orgs_and_its_own,
);

fn spend(steps: u64, tokens: u64, cost_micro_usd: u64) -> Spend {
    Spend {
        steps,
        tokens,
        cost_micro_usd,
    }
}

fn budget(steps: u64, tokens: u64, cost: u64) -> DayBudget {
    DayBudget {
        max_steps: Some(steps),
        max_tokens: Some(tokens),
        max_cost_micro_usd: Some(cost),
    }
}

fn take(of: Vec<(Subject, DayBudget)>, amount: Spend) -> Reservation {
    Reservation {
        day: 20_000,
        of,
        amount,
    }
}

async fn reserve(h: &Harness, reservation: &Reservation) -> Option<Exhausted> {
    h.store.reserve_budget(acme(), reservation).await.unwrap()
}

async fn many_turns_at_once_never_pass_a_ceiling_together(h: &Harness) {
    let reservation = take(
        vec![(Subject::Org, budget(1_000, 1_000, 70))],
        spend(1, 10, 10),
    );
    let all = join_all((0..40).map(|_| reserve(h, &reservation))).await;
    let taken = all.iter().filter(|refused| refused.is_none()).count();
    assert_eq!(taken, 7);
    let refused = Exhausted {
        subject: Subject::Org,
        ceiling: Ceiling::Cost(70),
    };
    assert!(all.into_iter().flatten().all(|one| one == refused));
}

async fn all_days_are_taken_from_or_none(h: &Harness) {
    let agent = Subject::Agent("support".to_owned());
    let both = vec![
        (Subject::Org, budget(100, 100, 100)),
        (agent.clone(), budget(2, 100, 100)),
    ];
    let reservation = take(both, spend(1, 1, 1));
    assert_eq!(reserve(h, &reservation).await, None);
    assert_eq!(reserve(h, &reservation).await, None);
    let refused = reserve(h, &reservation).await;
    let ceiling = Ceiling::Steps(2);
    let subject = agent;
    assert_eq!(refused, Some(Exhausted { subject, ceiling }));
    // The org has 98 left: the refused turn took nothing from it.
    let rest = take(vec![(Subject::Org, budget(100, 100, 100))], spend(98, 0, 0));
    assert_eq!(reserve(h, &rest).await, None);
    let more = take(vec![(Subject::Org, budget(100, 100, 100))], spend(1, 0, 0));
    assert!(reserve(h, &more).await.is_some());
}

async fn what_was_not_used_is_given_back(h: &Harness) {
    let of = vec![(Subject::Org, budget(10, 100, 1_000))];
    let reservation = take(of, spend(1, 90, 900));
    assert_eq!(reserve(h, &reservation).await, None);
    let refused = reserve(h, &reservation).await;
    assert_eq!(refused.map(|one| one.ceiling), Some(Ceiling::Tokens(100)));
    h.store
        .settle_budget(acme(), &reservation, spend(1, 5, 50))
        .await
        .unwrap();
    assert_eq!(reserve(h, &reservation).await, None);
    // More than was taken counts as well.
    h.store
        .settle_budget(acme(), &reservation, spend(1, 500, 50))
        .await
        .unwrap();
    let small = take(reservation.of, spend(1, 0, 0));
    let refused = reserve(h, &small).await;
    assert_eq!(refused.map(|one| one.ceiling), Some(Ceiling::Tokens(100)));
}

async fn a_day_is_its_orgs_and_its_own(h: &Harness) {
    let of = vec![(Subject::Org, budget(1, 10, 10))];
    let today = take(of, spend(1, 1, 1));
    assert_eq!(reserve(h, &today).await, None);
    assert!(reserve(h, &today).await.is_some());
    let tomorrow = Reservation {
        day: 20_001,
        ..today.clone()
    };
    assert_eq!(reserve(h, &tomorrow).await, None);
    let rival = scope("rival");
    let theirs = h.store.reserve_budget(&rival, &today).await.unwrap();
    assert_eq!(theirs, None);
}
