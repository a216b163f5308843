//! Overruled decisions of intent gates.

use crate::fixtures::{acme, at, principal, scope, uuid};
use crate::harness::{Harness, on_both};
use domain::RunId;
use domain::gate::{GateCase, GateInput, GateVerdict};

fn case(run: RunId, label: GateVerdict, millis: i64) -> GateCase {
    GateCase {
        agent_type: "helper".to_owned(),
        agent_version: "1".to_owned(),
        run_id: run,
        step_index: 0,
        input: GateInput {
            text: "roll it out".to_owned(),
            before: String::new(),
        },
        decided: GateVerdict::Refuse,
        label,
        note: Some("it is in scope".to_owned()),
        by: principal(),
        at: at(millis),
    }
}

async fn newest_word_on_a_step_stands_and_orgs_do_not_mix(h: &Harness) {
    let (one, two) = (RunId::new(uuid()), RunId::new(uuid()));
    let first = case(one, GateVerdict::Allow, 1);
    let second = case(two, GateVerdict::Clarify, 2);
    let again = case(one, GateVerdict::Clarify, 3);
    for case in [&first, &second, &again] {
        h.store.put_gate_case(acme(), case).await.unwrap();
    }
    let list =
        async |agent: &str, limit| h.store.list_gate_cases(acme(), agent, limit).await.unwrap();
    assert_eq!(list("helper", 10).await, [again.clone(), second]);
    assert_eq!(list("helper", 1).await, std::slice::from_ref(&again));
    assert_eq!(list("other", 10).await, []);
    let other = scope("other");
    assert_eq!(
        h.store.list_gate_cases(&other, "helper", 10).await.unwrap(),
        []
    );
    // The same run's id in another org is another thing.
    let theirs = case(one, GateVerdict::Allow, 4);
    h.store.put_gate_case(&other, &theirs).await.unwrap();
    assert_eq!(list("helper", 1).await, [again]);
}

on_both!(newest_word_on_a_step_stands_and_orgs_do_not_mix,);
