//! Random inputs, fitting or not: whatever comes, a run keeps its invariants.

use super::*;
use crate::approval::{Approval, ApprovalStatus, Decision};
use crate::event::{Piece, PieceKind};
use crate::failure::{Failure, FailureCode};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a test does next; turned into an input that looks at the run as it is.
#[derive(Debug, Clone)]
enum Act {
    Start,
    Answer { calls: Vec<u8>, pieces: usize },
    Fail { retry: bool, pieces: usize },
    Dispatch,
    Settle { which: usize, outcome: u8 },
    Decide { which: usize, approve: bool },
    Expire { which: usize },
    Cancel { known: bool },
    Recover { crashed: bool },
    Deadline,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => Just(Act::Start),
        6 => (proptest::collection::vec(0u8..8, 0..4), 0usize..4)
            .prop_map(|(calls, pieces)| Act::Answer { calls, pieces }),
        2 => (any::<bool>(), 0usize..4).prop_map(|(retry, pieces)| Act::Fail { retry, pieces }),
        4 => Just(Act::Dispatch),
        8 => (0usize..4, 0u8..3).prop_map(|(which, outcome)| Act::Settle { which, outcome }),
        4 => (0usize..4, any::<bool>()).prop_map(|(which, approve)| Act::Decide { which, approve }),
        1 => (0usize..4).prop_map(|which| Act::Expire { which }),
        1 => any::<bool>().prop_map(|known| Act::Cancel { known }),
        2 => any::<bool>().prop_map(|crashed| Act::Recover { crashed }),
        1 => Just(Act::Deadline),
    ];
    proptest::collection::vec(act, 1..40)
}

fn planned(kind: u8) -> Planned {
    let effect = [Effect::Idempotent, Effect::Keyed, Effect::Unsafe][usize::from(kind % 3)];
    let verdict = match kind {
        0..=3 => Verdict::Run,
        4 | 5 => ask(),
        6 => Verdict::Deny {
            reason: "policy".to_owned(),
        },
        _ => Verdict::Reject {
            result: ToolResult::refusal("t", "bad"),
            malformed: true,
        },
    };
    call("t", effect, verdict)
}

fn block(run: &Run, pieces: usize) -> Option<DeltaBlock> {
    let Next::CallModel(turn) = run.next() else {
        return None;
    };
    Some(DeltaBlock {
        first_seq: run.next_seq,
        message_id: turn.message_id,
        started_at: turn.started_at,
        pieces: (0..pieces as u64)
            .map(|n| Piece(PieceKind::Text, n, "x".to_owned()))
            .collect(),
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each act; in pieces nobody could see that none is missing"
)]
fn input(world: &World, act: Act) -> Option<Input> {
    let run = &world.run;
    let call_id = |which: usize| run.calls().get(which).map(|call| call.id.clone());
    let approval = |which: usize| world.approvals.values().nth(which).cloned().map(Box::new);
    Some(match act {
        Act::Start => Input::Start,
        Act::Answer { calls, pieces } => {
            let Input::TurnCompleted(mut turn) =
                answer("text", calls.into_iter().map(planned).collect())
            else {
                unreachable!()
            };
            turn.deltas = block(run, pieces);
            Input::TurnCompleted(turn)
        }
        Act::Fail { retry, pieces } => Input::TurnFailed(FailedAttempt {
            failure: Failure::new(FailureCode::ModelUnavailable, "down"),
            retry,
            deltas: block(run, pieces),
            usage: Usage::default(),
            lane: Some("main".to_owned()),
        }),
        Act::Dispatch => Input::Dispatching {
            calls: run.calls().iter().map(|call| call.id.clone()).collect(),
        },
        Act::Settle { which, outcome } => {
            let outcome = match outcome {
                0 => ToolOutcome::Committed(ToolResult::ok("{}")),
                1 => ToolOutcome::FailedBeforeEffect(ToolResult::refusal("t", "down")),
                _ => ToolOutcome::Unknown {
                    evidence: "cut".to_owned(),
                },
            };
            Input::CallsSettled {
                outcomes: vec![(call_id(which)?, outcome)],
            }
        }
        Act::Decide { which, approve } => {
            let decision = Decision {
                choice: if approve {
                    crate::approval::Choice::Approve
                } else {
                    crate::approval::Choice::Deny
                },
                seen: None,
                reason: None,
                arguments: None,
                remember: None,
                by: principal(),
            };
            Input::Resolved {
                approval: approval(which)?,
                decision,
            }
        }
        Act::Expire { which } => Input::Expired {
            approval: approval(which)?,
        },
        Act::Cancel { known } => {
            let deltas = if known {
                Partial::Known(block(run, 1))
            } else {
                Partial::Unknown
            };
            Input::Cancel {
                reason: None,
                by: None,
                deltas,
            }
        }
        Act::Recover { crashed } => Input::Recovered { crashed },
        Act::Deadline => Input::DeadlineReached {
            deltas: Partial::Known(block(run, 1)),
        },
    })
}

/// A store in miniature, and what was seen so far.
struct World {
    run: Run,
    approvals: BTreeMap<ApprovalId, Approval>,
    history: Vec<Message>,
    last_seq: u64,
    done: u32,
    /// Times that each unsafe call was committed as dispatched without a person's word.
    unsafe_sent: HashMap<(CallId, u32), u32>,
}

impl World {
    fn accept(&mut self, transition: Transition) {
        for event in events(&transition) {
            assert!(
                event.seq > self.last_seq,
                "event {} after {}",
                event.seq,
                self.last_seq
            );
            assert_eq!(self.done, 0, "nothing follows done");
            self.last_seq = event.seq;
            self.done += u32::from(event.body.is_done());
            if let EventBody::ToolCallStarted {
                tool_call_id,
                attempt,
                ..
            } = event.body
            {
                *self.unsafe_sent.entry((tool_call_id, attempt)).or_default() += 1;
            }
        }
        for approval in transition.approvals {
            self.approvals.insert(approval.id, approval);
        }
        for closed in transition.closed {
            let approval = self
                .approvals
                .get_mut(&closed.id)
                .expect("it was asked for");
            assert_eq!(approval.status, ApprovalStatus::Pending);
            approval.status = ApprovalStatus::Cancelled;
        }
        self.history.extend(transition.messages);
        assert_eq!(transition.run.version, self.run.version + 1);
        assert!(transition.run.next_seq > self.last_seq);
        self.run = transition.run;
    }

    fn check(&self) {
        let status = self.run.status();
        assert_eq!(
            self.done == 1,
            status.is_terminal(),
            "done and the end come together"
        );
        let pending = self
            .approvals
            .values()
            .filter(|a| a.status == ApprovalStatus::Pending);
        let waiting = self
            .run
            .calls()
            .iter()
            .filter(|c| matches!(c.state, CallState::Waiting { .. }));
        assert_eq!(
            pending.count(),
            waiting.count(),
            "each pending approval has its call"
        );
        if matches!(self.run.next(), Next::CallModel(_)) || status.is_terminal() {
            self.check_history();
        }
        assert!(
            self.unsafe_sent.values().all(|sent| *sent == 1),
            "an attempt is sent once"
        );
    }

    /// Each call of an assistant message has exactly one result, before the next message that is not one.
    fn check_history(&self) {
        let mut open: HashSet<CallId> = HashSet::new();
        for message in &self.history {
            match &message.tool_call_id {
                Some(id) => assert!(open.remove(id), "a result without its call"),
                None => {
                    assert!(open.is_empty(), "a call without its result");
                    open.extend(message.tool_calls.iter().map(|call| call.id.clone()));
                }
            }
        }
        assert!(open.is_empty(), "a call without its result at the end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_run_keeps_its_invariants(acts in acts()) {
        let created = new_run(Budget { max_steps: Some(12), ..Budget::default() });
        let mut world = World {
            run: created.run.clone(),
            approvals: BTreeMap::new(),
            history: Vec::new(),
            last_seq: 1,
            done: 0,
            unsafe_sent: HashMap::new(),
        };
        for (second, act) in acts.into_iter().enumerate() {
            let Some(input) = input(&world, act) else { continue };
            let before = world.run.clone();
            match world.run.apply(input, at(second as u64)) {
                Ok(transition) => {
                    prop_assert!(!before.status().is_terminal(), "a terminal state never changes");
                    world.accept(transition);
                }
                Err(refused) => prop_assert_eq!(refused.status, before.status()),
            }
            world.check();
            let stored = serde_json::to_string(&world.run).expect("a run is JSON");
            let read: Run = serde_json::from_str(&stored).expect("and can be read again");
            prop_assert_eq!(&read, &world.run);
        }
    }
}
