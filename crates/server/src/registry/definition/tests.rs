use super::*;

fn flaw(source: &str) -> Flaw {
    parse(source, "file").unwrap_err()
}

#[test]
fn whole_definition_is_read() {
    let source = "---\nagent_type: scout\nname: Scout\ndescription: Looks around.\nmodel: [a, b]\nlanes:\n  - near\n\
        tools: [look, shout]\napprovals:\n  shout: ask\nintent_gate:\n  mode: shadow\n  rules: [{name: x, regex: x}]\n\
        budget:\n  max_steps: 3\n  max_cost_usd: 0.25\n  max_price_usd: 2.5\n  timeout_s: 60\ndata_policy: local\ntemperature: 0.5\n\
        max_output_tokens: 100\ninput_hints: [Where?]\nmetadata:\n  team: x\n---\n\nYou are a scout.\n";
    let read = parse(source, "file").unwrap();
    assert_eq!(
        (read.agent_type_line, read.lane_lines, read.tool_lines),
        (2, vec![7], vec![8, 8])
    );
    let expected = Agent {
        agent_type: "scout".into(),
        name: "Scout".into(),
        description: "Looks around.".into(),
        version: blake3::hash(source.as_bytes()).to_hex()[..16].to_owned(),
        models: vec!["a".into(), "b".into()],
        lanes: vec!["near".into()],
        tools: vec!["look".into(), "shout".into()],
        approvals: [("shout".to_owned(), Policy::Ask)].into(),
        rules: Vec::new(),
        daily: Default::default(),
        asking: BTreeMap::new(),
        on_message_while_waiting: None,
        intent_gate: Some(IntentGate {
            mode: GateMode::Shadow,
            settings: [(
                "rules".to_owned(),
                serde_json::json!([{"name": "x", "regex": "x"}]),
            )]
            .into_iter()
            .collect(),
        }),
        budget: Budget {
            max_steps: Some(3),
            max_tokens: None,
            max_cost_micro_usd: Some(250_000),
            max_price_micro_usd: Some(2_500_000),
            timeout_s: Some(60),
        },
        data_policy: DataPolicy::Local,
        temperature: Some(0.5),
        max_output_tokens: Some(100),
        input_hints: vec!["Where?".into()],
        metadata: [("team".to_owned(), serde_json::json!("x"))]
            .into_iter()
            .collect(),
        system_prompt: "You are a scout.".into(),
    };
    assert_eq!(*read.agent, expected);
}

#[test]
fn little_is_needed() {
    let read = parse("---\ndescription: Small.\n---\nHello.", "small-one")
        .unwrap()
        .agent;
    assert_eq!(
        (read.agent_type.as_str(), read.name.as_str()),
        ("small_one", "Small one")
    );
    assert_eq!(
        parse("---\r\nmodel: m\r\n---\r\nHello.\r\n", "x")
            .unwrap()
            .agent
            .models,
        ["m"]
    );
}

#[test]
fn flaws_name_their_line() {
    assert_eq!(flaw("Hello").line, 1);
    assert_eq!(flaw("---\nname: x\n").line, 1);
    assert_eq!(flaw("---\nname: x\n---\n \n").line, 4);
    assert_eq!(flaw("---\nname: x\nagent_type: Not-Snake\n---\nHi").line, 3);
    assert_eq!(flaw("---\nname: x\n\ntemperature: 3\n---\nHi").line, 4);
    assert_eq!(
        flaw("---\ntools: [a]\napprovals:\n  b: ask\n---\nHi").line,
        4
    );
}

#[test]
fn broken_yaml_is_told_in_one_line() {
    let unknown = flaw("---\nname: x\naprovals: {}\n---\nHi");
    assert_eq!(unknown.line, 3);
    assert!(
        unknown
            .message
            .starts_with("unknown key `aprovals`; known are agent_type, name"),
        "{unknown}"
    );
    let wrong = flaw("---\nname: x\nmax_output_tokens: many\n---\nHi");
    assert_eq!(
        (wrong.line, wrong.message.contains('\n')),
        (3, false),
        "{wrong}"
    );
    let policy = flaw("---\ntools: [a]\napprovals:\n  a: perhaps\n---\nHi");
    assert_eq!(policy.line, 4, "{policy}");
    let syntax = flaw("---\nname: [x\n---\nHi");
    assert!(syntax.line >= 2, "{syntax}");
}
