//! Agents' definitions.

use crate::harness::{Harness, on_both};
use domain::agent::{Agent, Budget, DataPolicy};
use domain::tool::Policy;
use serde_json::Map;
use std::collections::BTreeMap;

pub fn agent(version: &str, system_prompt: &str) -> Agent {
    Agent {
        agent_type: "support".to_owned(),
        name: "Support".to_owned(),
        description: "Answers".to_owned(),
        version: version.to_owned(),
        models: vec!["m".to_owned()],
        lanes: Vec::new(),
        tools: vec!["read_file".to_owned()],
        approvals: BTreeMap::from([("read_file".to_owned(), Policy::Ask)]),
        rules: Vec::new(),
        daily: Default::default(),
        asking: BTreeMap::new(),
        on_message_while_waiting: None,
        intent_gate: None,
        budget: Budget::default(),
        data_policy: DataPolicy::Local,
        temperature: Some(0.25),
        max_output_tokens: None,
        input_hints: Vec::new(),
        metadata: Map::new(),
        system_prompt: system_prompt.to_owned(),
    }
}

async fn each_version_is_kept(h: &Harness) {
    let (one, two) = (agent("1", "old"), agent("2", "new"));
    for agent in [&one, &two, &one] {
        h.store.system_put_agent(agent).await.unwrap();
    }
    // A version names one definition for ever.
    h.store
        .system_put_agent(&agent("1", "forged"))
        .await
        .unwrap();
    let get = async |version| h.store.system_get_agent("support", version).await.unwrap();
    assert_eq!(get("1").await, Some(one));
    assert_eq!(get("2").await, Some(two));
    assert_eq!(get("3").await, None);
    let other = h.store.system_get_agent("other", "1").await.unwrap();
    assert_eq!(other, None);
}

async fn a_store_that_works_says_so(h: &Harness) {
    h.store.check().await.unwrap();
    let one = h.store.system_now().await.unwrap();
    let two = h.store.system_now().await.unwrap();
    assert!(one <= two && one.as_micros() > 1_700_000_000_000_000);
    assert!(["sqlite", "postgres"].contains(&h.store.kind()));
}

async fn a_closed_store_is_unavailable(h: &Harness) {
    h.store.close().await;
    let read = h.store.system_get_agent("support", "1").await;
    let write = h.store.system_put_agent(&agent("1", "x")).await;
    for result in [read.map(|_| ()), write] {
        let closed = matches!(
            result,
            Err(domain::ports::store::StoreError::Unavailable(_))
        );
        assert!(closed, "{result:?}");
    }
}

on_both!(
    each_version_is_kept,
    a_store_that_works_says_so,
    a_closed_store_is_unavailable
);
