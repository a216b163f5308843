//! `keys` on the store of a running server, and the owner's key of a first start.

use crate::program::{Home, tls};
use scripted::Server as Model;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn key_made_beside_a_running_server_works_until_it_is_revoked() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let arguments = [
        "keys",
        "create",
        "--org",
        "acme",
        "--role",
        "viewer",
        "--name",
        "dashboard",
        "--json",
    ];
    let said = home.run(&arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    let made: Value = serde_json::from_str(&said.out).unwrap();
    let key = made["key"].as_str().unwrap();
    assert_eq!(
        (made["org"].as_str(), made["role"].as_str()),
        (Some("acme"), Some("viewer"))
    );
    assert_eq!(server.get("/api/v1/agents", key).await.0, 200);

    let said = home.run(&["keys", "list", "--org", "acme"]);
    assert!(
        said.out.contains("dashboard") && said.out.contains("live"),
        "{said:?}"
    );
    assert!(!said.out.contains(key), "{said:?}");

    let said = home.run(&[
        "keys",
        "revoke",
        made["id"].as_str().unwrap(),
        "--org",
        "acme",
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // The server believes a key that it saw for two seconds at most.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.get("/api/v1/agents", key).await.0 != 401 {
        assert!(
            std::time::Instant::now() < deadline,
            "the revoked key goes on working"
        );
    }
    let said = home.run(&["keys", "list", "--org", "acme", "--json"]);
    let listed: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(listed["state"], "revoked");
}

#[test]
fn key_can_be_made_before_the_first_start() {
    let home = Home::new();
    let said = home.run(&["keys", "create", "--name", "me"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.starts_with("ry_") && said.out.lines().count() == 1,
        "{said:?}"
    );
}

#[test]
fn mistakes_say_what_is_right() {
    let home = Home::new();
    for (arguments, expected) in [
        (
            vec!["create", "--name", "x", "--role", "king"],
            "use owner, developer, approver or viewer",
        ),
        (
            vec!["create", "--name", "x", "--role", "session"],
            "use owner, developer, approver or viewer",
        ),
        (
            vec!["create", "--name", "x", "--org", "Two words"],
            "use 1 to 63 characters",
        ),
        (
            vec!["revoke", "no-such-key"],
            "`runyard keys list --org ORG` shows the ids",
        ),
    ] {
        let mut all = vec!["keys"];
        all.extend(arguments);
        let said = home.run(&all);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(expected), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_key_is_kept_for_its_owner_and_not_printed_to_a_pipe() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let key = home.owner_key();
    assert_eq!(server.get("/api/v1/agents", &key).await.0, 200);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let about = std::fs::metadata(home.data().join("owner.key")).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
    let said = server.stop();
    assert!(
        !said.out.contains(&key) && !said.err.contains(&key),
        "{said:?}"
    );
    assert!(said.out.contains("owner.key"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_key_can_be_chosen_at_the_first_start() {
    tls();
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("RUNYARD_OWNER_KEY", "chosen-by-me");
    let server = crate::program::Serving::start(command);
    assert_eq!(server.get("/api/v1/agents", "chosen-by-me").await.0, 200);
    assert_eq!(server.get("/api/v1/agents", "chosen-by-you").await.0, 401);
    let said = server.stop();
    assert!(
        !said.out.contains("chosen-by-me") && !said.err.contains("chosen-by-me"),
        "{said:?}"
    );
}
