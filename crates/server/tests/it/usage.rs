use crate::on_both_stores;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    ended_runs_are_summed_by_agent_lane_and_key,
    span_that_makes_no_sense_is_refused,
);

const USAGE: &str = "/api/v1/agents/usage";

async fn ended_runs_are_summed_by_agent_lane_and_key(world: Arc<World>) {
    for agent in ["helper", "helper", "clerk"] {
        let thread = world.thread(agent).await;
        let path = format!("/api/v1/agents/threads/{thread}/runs");
        let start = json!({"input": "hi"});
        assert_eq!(world.post(&path, &start).await.status, 200);
    }
    let report = world.get(USAGE).await.ok();
    assert_eq!(
        (&report["bucket"], &report["by"]),
        (&json!("day"), &json!("agent"))
    );
    let told = |report: &Value| -> Vec<(Value, Value, Value)> {
        let points = report["points"].as_array().unwrap().iter();
        points
            .map(|point| {
                (
                    point["name"].clone(),
                    point["runs"].clone(),
                    point["failed"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(
        told(&report),
        [
            (json!("clerk"), json!(1), json!(0)),
            (json!("helper"), json!(2), json!(0))
        ]
    );
    let point = &report["points"][1];
    assert!(point["output_tokens"].as_u64().unwrap() > 0, "{point}");
    assert!(point["cost_usd"].as_f64().unwrap() > 0.0, "{point}");
    let lanes = world
        .get(&format!("{USAGE}?by=lane&bucket=hour"))
        .await
        .ok();
    assert_eq!(told(&lanes), [(json!("scripted"), json!(3), json!(0))]);
    let keys = world.get(&format!("{USAGE}?by=key")).await.ok();
    assert_eq!(told(&keys), [(json!("owner of acme"), json!(3), json!(0))]);
    let to = report["from"].as_str().unwrap();
    let earlier = world.get(&format!("{USAGE}?to={to}")).await.ok();
    assert_eq!(earlier["points"], json!([]));
}

async fn span_that_makes_no_sense_is_refused(world: Arc<World>) {
    for query in [
        "from=yesterday",
        "by=colour",
        "bucket=week",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let answer = world.get(&format!("{USAGE}?{query}")).await;
        answer.problem(400, "invalid_parameter");
    }
}
