//! The intent gate in front of a run's first turn.

use super::*;
use crate::agent::GateMode;
use crate::gate::{DecidedBy, GateDecision, GateInput, GateRecord, GateVerdict};
use crate::step::StepKind;

fn gated() -> Run {
    let mut new = new_run(Budget::default()).run;
    new.request.gated = true;
    step(&new, Input::Start, 1).run
}

fn decision(mode: GateMode, decision: GateVerdict) -> Input {
    Input::GateDecided(Box::new(GateRecord {
        since: at(1),
        input: GateInput {
            text: "hello".to_owned(),
            before: String::new(),
        },
        decision: GateDecision {
            decision,
            mode,
            intent: Some("greeting".to_owned()),
            confidence: Some(0.5),
            reason: "because".to_owned(),
            by: DecidedBy::Otherwise,
            reply: "What do you mean?".to_owned(),
            usage: Usage {
                input_tokens: 3,
                ..Usage::default()
            },
        },
    }))
}

#[test]
fn a_gated_run_is_judged_before_its_first_turn() {
    let run = gated();
    assert_eq!(run.next(), Next::Judge);
    assert_eq!(run.turns, 0);
    for (mode, verdict) in [
        (GateMode::Enforce, GateVerdict::Allow),
        (GateMode::Shadow, GateVerdict::Refuse),
    ] {
        let judged = step(&run, decision(mode, verdict), 2);
        assert!(matches!(judged.run.next(), Next::CallModel(_)), "{mode:?}");
        assert_eq!(types(&judged), ["gate_decided"]);
        assert_eq!(judged.steps[0].kind, StepKind::Gate);
        assert_eq!(judged.run.usage.input_tokens, 3);
    }
}

#[test]
fn an_enforced_refusal_or_question_is_the_answer() {
    for verdict in [GateVerdict::Refuse, GateVerdict::Clarify] {
        let judged = step(&gated(), decision(GateMode::Enforce, verdict), 2);
        assert_eq!(judged.run.status(), RunStatus::Completed);
        let expected = [
            "gate_decided",
            "message_delta",
            "message_completed",
            "run_status",
            "done",
        ];
        assert_eq!(types(&judged), expected);
        assert_eq!(judged.messages[0].content.text(), "What do you mean?");
        assert_eq!(judged.run.turns, 0, "no model was called");
        let again = judged
            .run
            .apply(decision(GateMode::Enforce, verdict), at(3));
        assert!(again.is_err());
    }
}

#[test]
fn a_crash_in_judgement_judges_again_and_a_cancel_ends_it() {
    let run = gated();
    let taken = step(&run, Input::Recovered { crashed: true }, 2).run;
    assert_eq!(taken.next(), Next::Judge);
    assert_eq!(
        taken.next_seq, run.next_seq,
        "nothing was told that could be told twice"
    );
    let cancel = Input::Cancel {
        reason: None,
        by: None,
        deltas: Partial::Known(None),
    };
    assert_eq!(step(&run, cancel, 2).run.status(), RunStatus::Cancelled);
}

#[test]
fn an_ungated_run_refuses_a_decision() {
    let refused = begun().apply(decision(GateMode::Enforce, GateVerdict::Allow), at(2));
    assert!(refused.is_err());
}
