//! `runyard lanes` and `runyard gate` on the agents that a first start brings.

use crate::program::{Home, Said, Serving};
use serde_json::Value;

const AGENT: &str = "deployment_advisor";
/// Labelled inputs that come with the agent.
const SHIPPED: usize = 200;

fn started() -> (Home, Serving) {
    let home = Home::new();
    let server = home.serve(&[]);
    (home, server)
}

fn good(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

fn json(said: Said) -> Value {
    serde_json::from_str(&good(said)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_shown_with_what_they_did() {
    let (home, _server) = started();
    let lane = |answer: &Value| {
        let lanes = answer["lanes"].as_array().unwrap();
        let lane = lanes.iter().find(|lane| lane["name"] == "offline");
        lane.unwrap()["traffic"]["answered"].clone()
    };
    let before = json(home.run(&["lanes", "--json"]));
    good(home.run(&["run", AGENT, "Which models are there?"]));
    let after = json(home.run(&["lanes", "--json"]));
    assert_ne!(lane(&before), lane(&after), "{after}");
    let table = good(home.run(&["lanes"]));
    let row = table.lines().find(|line| line.contains("offline-demo"));
    assert!(row.unwrap().contains("healthy"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explanation_is_the_same_with_and_without_a_server() {
    let (home, _server) = started();
    let device = r#"{"platform":"android","memory_mb":8192,"models":["phi-4-mini"]}"#;
    let asked = ["lanes", "explain", AGENT, "--client", device, "--json"];
    let told = json(home.run(&asked));
    assert_eq!(told["candidates"][0]["kind"], "device", "{told}");
    let alone = json(home.run(&[&asked[..], &["--org", "default"]].concat()));
    assert_eq!(told["considered"], alone["considered"]);
    let text = good(home.run(&["lanes", "explain", AGENT, "--client", device]));
    assert!(
        text.contains("the client's device can run the model"),
        "{text}"
    );
    // No device serves a run on a thread.
    let run = json(home.run(&["lanes", "explain", AGENT, "--run", "--json"]));
    assert_eq!(run["candidates"][0]["name"], "offline", "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_asking_for_lanes_say_what_is_right() {
    let (home, _server) = started();
    for (arguments, told) in [
        (
            vec!["lanes", "explain", "nobody"],
            "there are: deployment_advisor",
        ),
        (
            vec!["lanes", "explain", AGENT, "--client", "{bad"],
            "--client is no JSON",
        ),
        (
            vec!["lanes", "explain", AGENT, "--client", "[1]"],
            "client[0]",
        ),
        (
            vec!["lanes", "explain", AGENT, "--lane", "moon", "--run"],
            "the request asks for lane moon",
        ),
    ] {
        let said = home.run(&arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}: {said:?}");
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains(told), "{arguments:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gate_is_tried_on_the_cases_that_come_with_the_agent() {
    let (home, _server) = started();
    let text = good(home.run(&["gate", "test", AGENT]));
    for word in ["precision", "recall", &SHIPPED.to_string()] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let said = home.run(&["gate", "test", AGENT, "--at-least", "99.5"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("99.5% were asked for"), "{said:?}");
    good(home.run(&["gate", "test", AGENT, "--at-least", "50"]));
    let own = r#"{"input":"Which devices are offline?","label":"allow"}"#;
    home.write("own.jsonl", &format!("{own}\n"));
    let text = good(home.run(&["gate", "test", AGENT, "--cases", "own.jsonl"]));
    assert!(text.contains('1') && !text.contains("200"), "{text}");
    home.write("broken.jsonl", &format!("{own}\n{{\n"));
    let said = home.run(&["gate", "test", AGENT, "--cases", "broken.jsonl"]);
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(
        said.err.contains("broken.jsonl") && said.err.contains('2'),
        "{said:?}"
    );
    let said = home.run(&["gate", "test", "nobody"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("runyard agents list"), "{said:?}");
}
