use crate::on_both_stores;
use crate::world::{ACME, World, said};
use domain::key::Role;
use scripted::Script;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

on_both_stores!(
    thread_is_made_and_shown,
    unknown_agent_type_names_those_that_exist,
    threads_are_listed_by_last_change_page_by_page,
    list_stays_whole_while_threads_change,
    thread_shows_its_history_and_runs,
    thread_is_changed_in_part,
    thread_is_deleted_with_its_runs,
    busy_thread_is_not_deleted,
    title_and_metadata_have_limits,
    slashes_at_the_end_are_accepted,
);

const THREADS: &str = "/api/v1/agents/threads";

async fn thread_is_made_and_shown(world: Arc<World>) {
    let body =
        json!({"agent_type": "helper", "title": "Títle", "metadata": {"a": [1, null]}, "more": 1});
    let made = world.post(THREADS, &body).await.ok();
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        made,
        json!({
            "id": id,
            "thread_id": id,
            "agent_type": "helper",
            "title": "Títle",
            "status": "idle",
            "metadata": {"a": [1, null]},
            "created_at": made["created_at"],
            "updated_at": made["created_at"],
            "message_count": 0,
            "last_message_preview": null,
        })
    );
    let mut shown = world.get(&format!("{THREADS}/{id}")).await.ok();
    let extra = shown.as_object_mut().unwrap();
    assert_eq!(extra.remove("messages"), Some(json!([])));
    assert_eq!(extra.remove("runs"), Some(json!([])));
    assert_eq!(shown, made);
}

async fn unknown_agent_type_names_those_that_exist(world: Arc<World>) {
    for agent_type in ["nobody", "torn", ""] {
        let answer = world
            .post(THREADS, &json!({"agent_type": agent_type}))
            .await;
        let problem = answer.problem(422, "unknown_agent_type");
        assert_eq!(problem["error"], "validation_error");
        let supported = json!(["clerk", "helper", "treasurer"]);
        assert_eq!(problem["details"]["supported"], supported);
        assert_eq!(problem["errors"][0]["path"], "agent_type");
        assert!(
            problem["message"]
                .as_str()
                .unwrap()
                .contains("clerk, helper, treasurer")
        );
    }
    assert_eq!(world.get(THREADS).await.ok()["threads"], json!([]));
}

fn ids(list: &Value) -> Vec<String> {
    let threads = list["threads"].as_array().expect("a list").iter();
    threads
        .map(|thread| thread["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn threads_are_listed_by_last_change_page_by_page(world: Arc<World>) {
    let mut made = Vec::new();
    for index in 0..7 {
        let agent = if index % 2 == 0 { "helper" } else { "clerk" };
        made.push(world.thread(agent).await);
    }
    made.reverse();
    let all = world.get(THREADS).await.ok();
    assert_eq!(ids(&all), made);
    assert_eq!(all["next_cursor"], Value::Null);
    let mut paged = Vec::new();
    let mut path = format!("{THREADS}?limit=3");
    loop {
        let page = world.get(&path).await.ok();
        assert!(ids(&page).len() <= 3);
        paged.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{THREADS}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, made);
    let clerks = world.get(&format!("{THREADS}?agent_type=clerk")).await.ok();
    assert_eq!(ids(&clerks).len(), 3);
    assert_eq!(
        ids(&world.get(&format!("{THREADS}?limit=999999")).await.ok()).len(),
        7
    );
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "limit=1.5",
    ] {
        let answer = world.get(&format!("{THREADS}?{query}")).await;
        answer.problem(400, "invalid_parameter");
    }
    for cursor in ["x", "0", &"0".repeat(56)] {
        let answer = world.get(&format!("{THREADS}?cursor={cursor}")).await;
        answer.problem(400, "invalid_cursor");
    }
}

async fn list_stays_whole_while_threads_change(world: Arc<World>) {
    let mut made = BTreeSet::new();
    for _ in 0..6 {
        made.insert(world.thread("helper").await);
    }
    let first = world.get(&format!("{THREADS}?limit=3")).await.ok();
    let mut seen: BTreeSet<String> = ids(&first).into_iter().collect();
    // A thread that was shown moves to the front, and a new one comes: neither shifts what follows.
    let shown = seen.first().unwrap().clone();
    let patch = json!({"title": "moved"});
    let path = format!("{THREADS}/{shown}");
    world
        .owner("PATCH", &path)
        .await
        .json(&patch)
        .send()
        .await
        .ok();
    world.thread("helper").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = world.get(&format!("{THREADS}?cursor={cursor}")).await.ok();
    seen.extend(ids(&rest));
    assert_eq!(seen, made);
}

async fn thread_shows_its_history_and_runs(world: Arc<World>) {
    world
        .model
        .play(Script::tool_loop("look", r#"{"what":"x"}"#, "Found it."));
    let thread = world.thread("clerk").await;
    let stream = world.run_to_end(&thread, "find x").await.frames();
    let shown = world.get(&format!("{THREADS}/{thread}")).await.ok();
    assert_eq!(
        (&shown["status"], &shown["message_count"]),
        (&json!("idle"), &json!(4))
    );
    assert_eq!(shown["last_message_preview"], "Found it.");
    let messages = shown["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    assert_eq!(messages[0]["content"], "find x");
    let call = &messages[1]["tool_calls"][0];
    assert_eq!(
        (&call["name"], &call["arguments"]),
        (&json!("look"), &json!({"what": "x"}))
    );
    assert_eq!(messages[2]["tool_call_id"], call["id"]);
    let run = &stream[0].data["run_id"];
    assert!(messages.iter().all(|message| message["run_id"] == *run));
    assert_eq!(shown["runs"][0]["run_id"], *run);
    assert_eq!(shown["runs"][0]["status"], "completed");
    assert_eq!(shown["runs"].as_array().unwrap().len(), 1);
}

async fn thread_is_changed_in_part(world: Arc<World>) {
    let body = json!({"agent_type": "helper", "title": "one", "metadata": {"a": 1}});
    let made = world.post(THREADS, &body).await.ok();
    let path = format!("{THREADS}/{}", made["id"].as_str().unwrap());
    let patch = async |patch: Value| {
        world
            .owner("PATCH", &path)
            .await
            .json(&patch)
            .send()
            .await
            .ok()
    };
    let changed = patch(json!({"metadata": {"b": 2}})).await;
    assert_eq!(
        (&changed["title"], &changed["metadata"]),
        (&json!("one"), &json!({"b": 2}))
    );
    assert!(changed["updated_at"].as_str() > made["updated_at"].as_str());
    let changed = patch(json!({"title": null})).await;
    assert_eq!(
        (&changed["title"], &changed["metadata"]),
        (&Value::Null, &json!({"b": 2}))
    );
    let changed = patch(json!({"title": "two"})).await;
    assert_eq!(changed["title"], "two");
}

async fn thread_is_deleted_with_its_runs(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let stream = world.run_to_end(&thread, "hi").await.frames();
    let run = stream[0].data["run_id"].as_str().unwrap();
    let path = format!("{THREADS}/{thread}");
    let deleted = world.owner("DELETE", &path).await.send().await.ok();
    assert_eq!(deleted, json!({"id": thread, "deleted": true}));
    world.get(&path).await.problem(404, "not_found");
    world
        .get(&format!("/api/v1/agents/runs/{run}"))
        .await
        .problem(404, "not_found");
    world
        .get(&format!("/api/v1/agents/runs/{run}/events"))
        .await
        .problem(404, "not_found");
    world
        .run_to_end(&thread, "hi")
        .await
        .problem(404, "not_found");
    world
        .owner("DELETE", &path)
        .await
        .send()
        .await
        .problem(404, "not_found");
}

async fn busy_thread_is_not_deleted(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let path = format!("{THREADS}/{thread}");
    let problem = world
        .owner("DELETE", &path)
        .await
        .send()
        .await
        .problem(409, "thread_busy");
    assert_eq!(problem["details"]["run_id"], run);
    world.model.open_gate("gate");
    live.until("done").await;
    world.owner("DELETE", &path).await.send().await.ok();
}

async fn title_and_metadata_have_limits(world: Arc<World>) {
    let title = "é".repeat(500);
    let body = json!({"agent_type": "helper", "title": title});
    assert_eq!(world.post(THREADS, &body).await.ok()["title"], *title);
    let body = json!({"agent_type": "helper", "title": format!("{title}x")});
    let problem = world
        .post(THREADS, &body)
        .await
        .problem(422, "validation_error");
    assert_eq!(problem["errors"][0]["path"], "title");
    let body = json!({"agent_type": "helper", "metadata": {"x": "y".repeat(17_000)}});
    let problem = world
        .post(THREADS, &body)
        .await
        .problem(422, "validation_error");
    assert_eq!(problem["errors"][0]["path"], "metadata");
}

async fn slashes_at_the_end_are_accepted(world: Arc<World>) {
    world.model.play(Script::always(said("ok")));
    let secret = world.secret(ACME, Role::Owner).await;
    let body = json!({"agent_type": "helper"});
    let made = world
        .ask("POST", "/api/v1/agents/threads/")
        .key(&secret)
        .json(&body)
        .send()
        .await
        .ok();
    let id = made["id"].as_str().unwrap();
    for path in [
        "/api/v1/agents/".to_owned(),
        "/api/v1/agents/threads/?limit=1".to_owned(),
        format!("/api/v1/agents/threads/{id}/"),
        format!("/api/v1/agents/threads/{id}//"),
        "/healthz/".to_owned(),
    ] {
        world.ask("GET", &path).key(&secret).send().await.ok();
    }
}
