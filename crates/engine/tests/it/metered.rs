//! Turns paid for from a day.

use crate::on_both_stores;
use crate::world::World;
use domain::budget::DayBudget;
use domain::failure::FailureCode;
use domain::run::RunState;
use engine::{DayBudgets, Metered};
use std::sync::Arc;

on_both_stores!(
    a_run_over_its_orgs_day_ends_with_what_it_has,
    an_agents_day_is_over_for_all_its_runs,
);

fn steps(max: u64) -> DayBudget {
    DayBudget {
        max_steps: Some(max),
        ..DayBudget::default()
    }
}

async fn ended(world: &World, process: &crate::world::Process) -> Result<(), FailureCode> {
    let run = world.begin(process, "go").await;
    world.follow(process, run.id, 0).await;
    world.check_ended(run.id).await;
    let stored = world.stored(run.id).await;
    match stored.state {
        RunState::Completed { .. } => Ok(()),
        RunState::Failed { error, .. } => Err(error.code),
        other => panic!("{other:?}"),
    }
}

async fn a_run_over_its_orgs_day_ends_with_what_it_has(world: World) {
    let org = world.scope.org().clone();
    let budgets = DayBudgets {
        each_org: DayBudget::default(),
        orgs: [(org, steps(2))].into(),
    };
    let models = Metered::new(
        world.model.clone(),
        world.store.clone(),
        world.clock.clone(),
        budgets,
    );
    let process = world.process_on(Arc::new(models)).await;
    assert_eq!(ended(&world, &process).await, Ok(()));
    assert_eq!(ended(&world, &process).await, Ok(()));
    let over = ended(&world, &process).await;
    assert_eq!(over, Err(FailureCode::BudgetSteps));
    assert_eq!(world.model.count(), 2, "the third turn was never made");
    world
        .clock
        .advance(std::time::Duration::from_secs(24 * 3_600));
    assert_eq!(ended(&world, &process).await, Ok(()), "another day");
}

async fn an_agents_day_is_over_for_all_its_runs(world: World) {
    let tokens = DayBudget {
        max_tokens: Some(9_000),
        ..DayBudget::default()
    };
    world.limit_agent(tokens);
    let models = Metered::new(
        world.model.clone(),
        world.store.clone(),
        world.clock.clone(),
        DayBudgets::default(),
    );
    let process = world.process_on(Arc::new(models)).await;
    // Each turn may take 8,192 tokens beforehand and takes 10: what it did not use is given back.
    for _ in 0..3 {
        assert_eq!(ended(&world, &process).await, Ok(()));
    }
    world.limit_agent(DayBudget {
        max_tokens: Some(8_000),
        ..DayBudget::default()
    });
    let run = ended(&world, &process).await;
    assert_eq!(run, Err(FailureCode::BudgetTokens));
}
