use crate::on_both_stores;
use crate::operations::{self, Ids};
use crate::world::{ACME, World};
use domain::key::Role;
use domain::ports::clock::Clock;
use std::sync::Arc;

on_both_stores!(every_operation_keeps_to_its_role);

/// May `role` do what needs at least the role `least`? Operations of sessions name the role `session`: theirs is the
/// session's token, and everybody who may make sessions.
fn may(role: Role, least: &str) -> bool {
    let rank = match role {
        Role::Owner => 4,
        Role::Developer => 3,
        Role::Approver => 2,
        Role::Viewer => 1,
        Role::Session => return least == "session",
    };
    let needed = match least {
        "owner" => 4,
        "developer" | "session" => 3,
        "approver" => 2,
        "viewer" => 1,
        other => panic!("an operation names the role {other}"),
    };
    rank >= needed
}

async fn every_operation_keeps_to_its_role(world: Arc<World>) {
    let some = || world.clock.uuid().to_string();
    for (index, operation) in operations::all().into_iter().enumerate() {
        let ids = Ids {
            thread: some(),
            run: some(),
            session: some(),
            approval: some(),
            key: some(),
            grant: some(),
        };
        let path = operation.path_with(&ids);
        let ask = || {
            let ask = world.ask(&operation.method, &path);
            match operation.body() {
                Some(body) => ask.json(&body),
                None => ask,
            }
        };
        let Some(least) = &operation.role else {
            let answer = ask().send().await;
            assert_eq!(answer.status, 200, "{}", operation.id);
            continue;
        };
        ask().send().await.problem(401, "missing_key");
        // Each from an address of its own, or there were too many failed logins from one.
        ask()
            .peer(&format!("192.0.2.{index}"))
            .key("ry_unknown")
            .send()
            .await
            .problem(401, "invalid_key");
        for role in Role::ALL {
            let secret = world.secret(ACME, role).await;
            let answer = ask().key(&secret).send().await;
            if may(role, least) {
                let expected = if operation.has_ids() { 404 } else { 200 };
                assert_eq!(answer.status, expected, "{} as {role:?}", operation.id);
            } else {
                answer.problem(403, "role_forbidden");
            }
        }
    }
}
