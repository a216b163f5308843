use crate::on_both_stores;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(agents_are_listed_without_prompt_or_model);

fn schema(properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

async fn agents_are_listed_without_prompt_or_model(world: Arc<World>) {
    let answer = world.get("/api/v1/agents").await;
    let list = answer.ok();
    assert_eq!(
        list["agents"][0],
        json!({
            "agent_type": "clerk",
            "name": "CLERK",
            "description": "is a clerk",
            "version": "clerk-1",
            "model": "tiny",
            "lanes": [],
            "tools": [
                {
                    "name": "look", "description": "looks something up", "effect": "idempotent", "approval": "auto",
                    "input_schema": schema(json!({"what": {"type": "string"}})),
                },
                {
                    "name": "pay", "description": "pays an amount", "effect": "unsafe", "approval": "ask",
                    "input_schema": schema(json!({"amount": {"type": "integer", "maximum": 100}})),
                },
            ],
            "intent_gate": null,
            "input_hints": ["ask me"],
            "metadata": {},
        })
    );
    assert_eq!(list["agents"][1]["agent_type"], "helper");
    assert_eq!(
        list["broken"],
        json!([{"agent_type": "torn", "message": "line 2: unknown field `modle`"}])
    );
    assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
    assert_eq!(world.model.count(), 0);
}
