//! Approve, deny, cancel and expiry at the same moment, in two processes: one of them wins, everybody is told which, and
//! nothing is sent after a cancel or a denial. `cargo xtask races` makes more of them.

use crate::approvals::{asked, decision};
use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::World;
use domain::approval::{Approval, ApprovalStatus};
use domain::ports::clock::Clock;
use domain::run::{Run, RunStatus};
use domain::step::StepStatus;
use engine::EngineError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;

on_both_stores!(races_of_approve_deny_cancel_and_expiry_have_one_winner);

/// How many, where nobody says another number.
const ROUNDS: usize = 150;

fn rounds() -> usize {
    let asked = std::env::var("RUNYARD_RACES").ok();
    asked.map_or(ROUNDS, |text| {
        text.parse().expect("RUNYARD_RACES is a number")
    })
}

type Told = Result<Approval, EngineError>;

#[expect(
    clippy::too_many_lines,
    reason = "one race from its start to its judgement"
)]
async fn races_of_approve_deny_cancel_and_expiry_have_one_winner(world: World) {
    let (here, there) = (world.process().await, world.process().await);
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call("pay_soon_ask", "{}".to_owned())],
    });
    let mut won = [0; 4];
    for round in 0..rounds() {
        let expires_at = world.clock.now().plus(Duration::from_secs(60));
        *world.tools.soon.lock().expect("no panic under this lock") = expires_at;
        let (run, approvals) = asked(&world, &here).await;
        let id = approvals[0].id;
        let before = world.tools.effects().len();
        let start = Arc::new(Barrier::new(4));
        // Who begins a moment earlier changes with the round, and so does where.
        let at = |place: usize| {
            let start = start.clone();
            let yields = (round >> (place * 2)) % 4 * 3;
            let flip = (round + place).is_multiple_of(2);
            let engine = if flip { &here.engine } else { &there.engine }.clone();
            let scope = world.scope.clone();
            (start, yields, engine, scope)
        };
        let line_up = async |start: Arc<Barrier>, yields: usize| {
            start.wait().await;
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
        };
        let (start_1, yields_1, engine_1, scope_1) = at(0);
        let (start_2, yields_2, engine_2, scope_2) = at(1);
        let (start_3, yields_3, engine_3, scope_3) = at(2);
        let (start_4, yields_4, engine_4, scope_4) = at(3);
        let clock = world.clock.clone();
        let (yes, no, cancelled, ()) = tokio::join!(
            async {
                line_up(start_1, yields_1).await;
                answered(round, engine_1.resolve(&scope_1, id, decision(true, 1))).await
            },
            async {
                line_up(start_2, yields_2).await;
                answered(round, engine_2.resolve(&scope_2, id, decision(false, 2))).await
            },
            async {
                line_up(start_3, yields_3).await;
                // Every other round goes without, or the others would seldom win.
                if round % 2 == 0 {
                    Some(answered(round, engine_3.cancel(&scope_3, run.id, None, None)).await)
                } else {
                    None
                }
            },
            async {
                line_up(start_4, yields_4).await;
                if round % 3 == 0 {
                    clock.advance(Duration::from_secs(61));
                    // Refused if another was first.
                    let _ = answered(round, engine_4.expire(&scope_4, id)).await;
                }
            },
        );
        world.follow(&here, run.id, 0).await;
        let status = world.check_ended(run.id).await;
        let stands = world.store.get_approval(&world.scope, id).await;
        let stands = stands.expect("it answers").expect("it is there");
        let effects = world.tools.effects().len() - before;
        judge(&stands, &yes, &no, effects, round);
        match cancelled {
            Some(Ok(_)) => assert_eq!(status, RunStatus::Cancelled, "round {round}"),
            Some(Err(EngineError::Terminal { status: told })) => assert_eq!(told, status),
            Some(Err(error)) => panic!("round {round}: {error:?}"),
            None => assert_eq!(status, RunStatus::Completed, "round {round}"),
        }
        check_step(&world, &run, effects, round).await;
        won[stands.status as usize - 1] += 1;
    }
    if rounds() >= 1_000 {
        assert!(
            won.iter().all(|count| *count > 0),
            "each wins sometimes: {won:?}"
        );
    }
}

/// Whoever asks is told, however the race goes.
async fn answered<T>(round: usize, asked: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await;
    answer.unwrap_or_else(|_| panic!("round {round}: nobody answers"))
}

/// One winner, and both deciders know it.
fn judge(stands: &Approval, yes: &Told, no: &Told, effects: usize, round: usize) {
    let told = |told: &Told, wins: ApprovalStatus| match told {
        Ok(mine) => {
            assert_eq!((mine.status, stands.status), (wins, wins), "round {round}");
        }
        Err(EngineError::ApprovalResolved(theirs)) => {
            assert_ne!(stands.status, wins, "round {round}");
            assert_eq!(theirs.status, stands.status, "round {round}");
        }
        // Cancelled: the run is over, and so is what it asked.
        Err(EngineError::Refused(refused)) => {
            assert!(refused.status.is_terminal(), "round {round}: {refused}");
        }
        Err(error) => panic!("round {round}: {error:?}"),
    };
    told(yes, ApprovalStatus::Approved);
    told(no, ApprovalStatus::Denied);
    assert_ne!(stands.status, ApprovalStatus::Pending, "round {round}");
    assert!(effects <= 1, "round {round}");
    assert!(
        effects == 0 || stands.status == ApprovalStatus::Approved,
        "round {round}: sent although {:?}",
        stands.status
    );
}

/// The ledger agrees with what happened.
async fn check_step(world: &World, run: &Run, effects: usize, round: usize) {
    let steps = world.store.run_steps(&world.scope, run.id).await;
    let step = &steps.expect("it answers")[1];
    let sent = match step.status {
        StepStatus::Committed => true,
        // Cancelled in the moment of sending.
        StepStatus::OutcomeUnknown => return,
        _ => false,
    };
    assert_eq!(sent, effects == 1, "round {round}: {:?}", step.status);
}
