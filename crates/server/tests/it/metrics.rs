//! What the server tells of itself in numbers.

use crate::on_both_stores;
use crate::world::World;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

on_both_stores!(numbers_tell_of_runs_streams_and_lanes);

/// Every number by its name and labels; each belongs to a family that is described before it.
async fn numbers(world: &World) -> BTreeMap<String, f64> {
    let answer = world.ask("GET", "/metrics").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let mut families = Vec::new();
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            families.push(comment.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = families.last().expect("a family comes first");
            assert!(name.starts_with(family.as_str()), "{line}");
            numbers.insert(name.to_owned(), value.parse().unwrap());
        }
    }
    numbers
}

async fn numbers_tell_of_runs_streams_and_lanes(world: Arc<World>) {
    let before = numbers(&world).await;
    let completed = "runyard_runs_ended_total{status=\"completed\"}";
    assert_eq!(before[completed], 0.0);
    assert_eq!(
        before["runyard_lane_up{lane=\"scripted\",kind=\"local\"}"],
        1.0
    );
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    live.until("message_delta").await;
    let during = numbers(&world).await;
    assert_eq!(during["runyard_runs_started_total"], 1.0);
    assert_eq!(during["runyard_runs_active"], 1.0);
    assert_eq!(during["runyard_streams_open"], 1.0);
    world.model.open_gate("gate");
    live.until("done").await;
    drop(live);
    let after = numbers(&world).await;
    assert_eq!(after[completed], 1.0);
    assert_eq!(after["runyard_streams_open"], 0.0);
    let (count, last) = (
        after["runyard_commit_seconds_count"],
        after["runyard_commit_seconds_bucket{le=\"+Inf\"}"],
    );
    assert!(count >= 2.0 && count == last, "{count} {last}");
    assert!(after["runyard_commit_seconds_sum"] > 0.0);
    let orgs = after.keys().filter(|name| name.contains("acme"));
    assert_eq!(orgs.count(), 0, "no org is named");
}
