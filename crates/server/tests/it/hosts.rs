use crate::scratch::Database;
use crate::world::{World, run_with};
use server::app::HttpSettings;
use std::sync::Arc;

fn with(names: &[&str], origins: &[&str]) -> HttpSettings {
    HttpSettings {
        allowed_hosts: names.iter().map(|&name| name.to_owned()).collect(),
        allowed_origins: origins.iter().map(|&name| name.to_owned()).collect(),
        ..HttpSettings::default()
    }
}

#[test]
fn strange_names_are_not_answered() {
    run_with(
        Database::Sqlite,
        with(&["api.example.com"], &[]),
        async |world: Arc<World>| {
            for (host, status) in [
                ("localhost:8080", 200),
                ("127.0.0.1", 200),
                ("api.example.com", 200),
                ("evil.example", 403),
                ("localhost.evil.example", 403),
            ] {
                let answer = world.ask("GET", "/").header("host", host).send().await;
                assert_eq!(answer.status, status, "{host}");
                if status == 403 {
                    answer.problem(403, "host_not_allowed");
                }
                // A probe may use any name.
                world
                    .ask("GET", "/healthz")
                    .header("host", host)
                    .send()
                    .await
                    .ok();
            }
            world
                .ask("GET", "/")
                .without("host")
                .send()
                .await
                .problem(400, "bad_request");
            let split = world.ask("GET", "http://evil.example/").send().await;
            split.problem(400, "bad_request");
            world.ask("GET", "http://localhost/").send().await.ok();
        },
    );
}

#[test]
fn pages_of_strangers_are_refused() {
    let settings = with(&[], &["https://console.example.com"]);
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let path = "/api/v1/agents";
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:9",
            "https://console.example.com.evil",
        ] {
            let answer = world
                .owner("GET", path)
                .await
                .header("origin", origin)
                .send()
                .await;
            answer.problem(403, "origin_not_allowed");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
        let answer = world
            .owner("GET", path)
            .await
            .header("origin", "http://localhost")
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, "")
        );
        let origin = "https://console.example.com";
        let answer = world
            .owner("GET", path)
            .await
            .header("origin", origin)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, origin)
        );
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("x-request-id")
        );
        assert_eq!(answer.header("vary"), "origin");
        let ask = world.ask("OPTIONS", path).header("origin", origin);
        let answer = ask
            .header("access-control-request-method", "POST")
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (204, origin)
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("authorization")
        );
        let ask = world
            .ask("OPTIONS", path)
            .header("origin", "https://evil.example");
        let answer = ask
            .header("access-control-request-method", "POST")
            .send()
            .await;
        answer.problem(403, "origin_not_allowed");
    });
}
