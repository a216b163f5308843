use crate::on_both_stores;
use crate::world::{ACME, RIVAL, World};
use domain::kept::{KeptId, KeptResult};
use domain::key::Role;
use domain::ports::clock::Clock;
use domain::tool::CallKey;
use domain::{CallId, OrgId, OrgScope, RunId};
use std::sync::Arc;

on_both_stores!(a_kept_result_is_read_by_its_own_org);

async fn a_kept_result_is_read_by_its_own_org(world: Arc<World>) {
    let org = OrgId::new(ACME).expect("a name");
    let run_id = RunId::new(world.clock.uuid());
    let key = CallKey::new(&org, run_id, 0, &CallId::minted(world.clock.uuid()));
    let kept = KeptResult {
        id: KeptId::of(&key),
        run_id,
        thread_id: None,
        tool_name: "files__read".to_owned(),
        content: "\"long\"".to_owned(),
        kept_at: world.clock.now(),
    };
    let scope = OrgScope::new(org);
    let keeping = world.store.keep_result(&scope, &kept, 1_000).await;
    keeping.expect("it is kept");
    let path = format!("/api/v1/agents/results/{}", kept.id);
    let told = world.get(&path).await.ok();
    assert_eq!(told["content"], "\"long\"");
    assert_eq!(told["run_id"], run_id.to_string());

    let other = CallKey::new(scope.org(), run_id, 1, &CallId::minted(world.clock.uuid()));
    let unknown = format!("/api/v1/agents/results/{}", KeptId::of(&other));
    let mut answers = Vec::new();
    for (org, path) in [(RIVAL, &path), (ACME, &unknown)] {
        let secret = world.secret(org, Role::Owner).await;
        let ask = world.ask("GET", path).key(&secret);
        answers.push(ask.header("x-request-id", "same").send().await);
    }
    answers[0].problem(404, "not_found");
    assert_eq!(answers[0], answers[1]);
}
