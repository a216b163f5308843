//! Model turns, tools and budgets.

use super::*;
use crate::event::{Piece, PieceKind};
use crate::failure::FailureCode;
use crate::step::StepStatus;

#[test]
fn a_run_without_tools_completes_with_its_last_text() {
    let created = new_run(Budget::default());
    assert_eq!(types(&created), ["run_created"]);
    let started = step(&created.run, Input::Start, 0);
    assert_eq!(types(&started), ["run_status"]);
    assert_eq!(started.messages, [user_message("hello")]);
    let ended = step(&started.run, answer("hi", vec![]), 1);
    assert_eq!(
        types(&ended),
        [
            "lane_changed",
            "message_completed",
            "usage",
            "run_status",
            "done"
        ]
    );
    let RunState::Completed {
        summary,
        completed_at,
        ..
    } = &ended.run.state
    else {
        panic!("completed, not {:?}", ended.run.state);
    };
    assert_eq!((summary.as_deref(), *completed_at), (Some("hi"), at(1)));
    assert_eq!(ended.run.usage.total_tokens(), 15);
}

#[test]
fn deltas_keep_their_numbers_and_are_told_again_exactly() {
    let run = begun();
    let Next::CallModel(turn) = run.next() else {
        panic!("a turn is next")
    };
    let block = DeltaBlock {
        first_seq: run.next_seq,
        message_id: turn.message_id,
        started_at: turn.started_at,
        pieces: vec![
            Piece(PieceKind::Reasoning, 5, "hm".to_owned()),
            Piece(PieceKind::Text, 9, "hi".to_owned()),
        ],
    };
    let mut told: Vec<Event> = (0..2).filter_map(|index| block.event(index)).collect();
    let Input::TurnCompleted(mut turn_answer) = answer("hi", vec![]) else {
        unreachable!()
    };
    turn_answer.deltas = Some(block);
    let ended = step(&run, Input::TurnCompleted(turn_answer), 1);
    let mut replayed = events(&ended);
    let rest = replayed.split_off(2);
    assert_eq!(replayed, told);
    told.extend(rest);
    let numbers: Vec<u64> = told.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (3..3 + numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn an_idempotent_call_is_dispatched_with_the_turn_and_an_unsafe_one_is_not() {
    let calls = vec![
        call("read", Effect::Idempotent, Verdict::Run),
        call("pay", Effect::Unsafe, Verdict::Run),
    ];
    let turned = step(&begun(), answer("", calls), 1);
    let Next::Dispatch(prepared) = turned.run.next() else {
        panic!("the unsafe one is prepared")
    };
    assert_eq!(
        prepared
            .iter()
            .map(|call| call.name.as_str())
            .collect::<Vec<_>>(),
        ["pay"]
    );
    let statuses: Vec<StepStatus> = turned.steps[1..].iter().map(|step| step.status).collect();
    assert_eq!(statuses, [StepStatus::Dispatched, StepStatus::Prepared]);
}

#[test]
fn results_join_the_history_in_the_order_asked() {
    let calls = vec![
        call("first", Effect::Idempotent, Verdict::Run),
        call("second", Effect::Idempotent, Verdict::Run),
    ];
    let turned = step(&begun(), answer("", calls), 1);
    let ids: Vec<CallId> = turned
        .run
        .calls()
        .iter()
        .map(|call| call.id.clone())
        .collect();
    let settle = |id: &CallId| Input::CallsSettled {
        outcomes: vec![(id.clone(), ToolOutcome::Committed(ToolResult::ok("{}")))],
    };
    let half = step(&turned.run, settle(&ids[1]), 2);
    assert!(
        half.messages.is_empty(),
        "the history waits for the first call"
    );
    let whole = step(&half.run, settle(&ids[0]), 3);
    let told: Vec<_> = whole
        .messages
        .iter()
        .map(|message| message.tool_call_id.clone())
        .collect();
    assert_eq!(told, [Some(ids[0].clone()), Some(ids[1].clone())]);
    assert!(matches!(whole.run.next(), Next::CallModel(turn) if turn.turn == 2));
}

#[test]
fn a_call_that_was_not_sent_is_sent_by_whoever_goes_on() {
    let calls = vec![
        call("pay", Effect::Unsafe, Verdict::Run),
        call("read", Effect::Idempotent, Verdict::Run),
    ];
    let turned = step(&begun(), answer("", calls), 1);
    let ids: Vec<CallId> = turned
        .run
        .calls()
        .iter()
        .map(|call| call.id.clone())
        .collect();
    let dispatching = |calls: &[CallId]| Input::Dispatching {
        calls: calls.to_vec(),
    };
    let sent = step(&turned.run, dispatching(&ids), 2);
    let unsent = step(&sent.run, Input::Unsent { calls: ids.clone() }, 3);
    assert!(
        unsent
            .steps
            .iter()
            .all(|step| step.status == StepStatus::Prepared)
    );
    // Another worker sends both, and nobody is asked what became of them.
    let taken = step(&unsent.run, Input::Recovered { crashed: true }, 4);
    assert!(taken.approvals.is_empty());
    let Next::Dispatch(next) = taken.run.next() else {
        panic!("{:?}", taken.run.next());
    };
    assert_eq!(next.len(), 2);
    let attempts: Vec<u32> = next.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 1]);
    let again = Input::Unsent { calls: ids };
    assert!(
        taken.run.apply(again, at(5)).is_err(),
        "none of them is dispatched"
    );
}

#[test]
fn a_late_result_of_a_settled_call_is_refused() {
    let turned = step(
        &begun(),
        answer("", vec![call("a", Effect::Keyed, Verdict::Run)]),
        1,
    );
    let id = turned.run.calls()[0].id.clone();
    let settle = || Input::CallsSettled {
        outcomes: vec![(id.clone(), ToolOutcome::Committed(ToolResult::ok("{}")))],
    };
    let settled = step(&turned.run, settle(), 2);
    assert!(settled.run.apply(settle(), at(3)).is_err());
}

#[test]
fn a_run_that_reaches_its_step_budget_fails_and_says_so() {
    let budget = Budget {
        max_steps: Some(1),
        ..Budget::default()
    };
    let started = step(&new_run(budget).run, Input::Start, 0);
    let turned = step(
        &started.run,
        answer("so far", vec![call("a", Effect::Keyed, Verdict::Run)]),
        1,
    );
    let id = turned.run.calls()[0].id.clone();
    let outcomes = vec![(id, ToolOutcome::Committed(ToolResult::ok("{}")))];
    let ended = step(&turned.run, Input::CallsSettled { outcomes }, 2);
    let RunState::Failed { error, summary, .. } = &ended.run.state else {
        panic!("failed, not {:?}", ended.run.state);
    };
    assert_eq!(
        (error.code, summary.as_deref()),
        (FailureCode::BudgetSteps, Some("so far"))
    );
    assert_eq!(
        ended.messages.len(),
        1,
        "the call has its result all the same"
    );
}

#[test]
fn three_turns_of_unreadable_calls_end_the_run() {
    let broken = || {
        let result = ToolResult::refusal("x", "not JSON");
        vec![call(
            "x",
            Effect::Unsafe,
            Verdict::Reject {
                result,
                malformed: true,
            },
        )]
    };
    let mut run = begun();
    for turn in 1..=3 {
        let next = step(&run, answer("", broken()), turn);
        assert_eq!(
            next.messages.len(),
            2,
            "a call and its result in turn {turn}"
        );
        run = next.run;
    }
    let RunState::Failed { error, .. } = &run.state else {
        panic!("failed, not {:?}", run.state)
    };
    assert_eq!(error.code, FailureCode::MalformedToolCalls);
}

#[test]
fn an_ended_run_refuses_everything_but_says_why() {
    let ended = step(&begun(), answer("hi", vec![]), 1).run;
    for input in [
        Input::Start,
        answer("again", vec![]),
        Input::Cancel {
            reason: None,
            by: None,
            deltas: Partial::Unknown,
        },
        Input::Recovered { crashed: true },
        Input::DeadlineReached {
            deltas: Partial::Unknown,
        },
        Input::SessionExpired,
    ] {
        let refused = ended
            .apply(input, at(2))
            .expect_err("a terminal state never changes");
        assert_eq!(refused.status, RunStatus::Completed);
    }
}
