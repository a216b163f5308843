//! `run` and `chat` against a running server.

use crate::program::{Home, Running};
use scripted::{ErrorKind, Reply, Script, Server as Model, reply};
use serde_json::Value;
use std::process::Stdio;

#[tokio::test(flavor = "multi_thread")]
async fn run_prints_the_answer_and_ends_well() {
    let model = Model::with(Script::always(Reply::text("Hello to you."))).await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let said = home.run(&["run", "echo", "Hello"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "Hello to you.\n"),
        "{said:?}"
    );
    assert!(said.err.contains("scripted in lane scripted"), "{said:?}");
    assert_eq!(model.calls()[0].last_user().as_deref(), Some("Hello"));
    assert_eq!(server.stop().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_prints_events_as_lines_of_json() {
    let model = Model::with(Script::always(Reply::text("Hello."))).await;
    let home = Home::with_model(&model);
    let _server = home.serve(&[]);
    let said = home.run(&["run", "echo", "Hello", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let events: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("run_created", "done"));
    let text: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(text, "Hello.");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_run_ends_with_one_and_says_why() {
    let model = Model::with(Script::always(Reply::error(ErrorKind::Invalid))).await;
    let home = Home::with_model(&model);
    let _server = home.serve(&[]);
    let said = home.run(&["run", "echo", "Hello"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("the run failed: "), "{said:?}");
}

#[test]
fn without_a_server_it_is_said_how_to_start_one() {
    let home = Home::new();
    for command in ["run", "chat"] {
        let mut arguments = vec![command, "echo"];
        if command == "run" {
            arguments.push("Hello");
        }
        arguments.extend(["--url", "http://127.0.0.1:9", "--key", "k"]);
        let said = home.run(&arguments);
        assert_eq!(said.code, Some(4), "{said:?}");
        assert!(
            said.err.contains("no server answers at http://127.0.0.1:9"),
            "{said:?}"
        );
        assert!(said.err.contains(" serve`"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_agent_names_those_that_there_are() {
    let model = Model::start().await;
    let home = Home::with_model(&model);
    let _server = home.serve(&[]);
    let said = home.run(&["run", "ekho", "Hello"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(
        said.err.contains("echo") && said.err.contains("`runyard agents list`"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_is_one_conversation_and_can_be_gone_on_with() {
    let model = Model::with(Script::replies([
        Reply::text("First answer."),
        Reply::text("Second answer."),
        Reply::text("Third answer."),
    ]))
    .await;
    let home = Home::with_model(&model);
    let _server = home.serve(&[]);
    let said = home.tell(&["chat", "echo"], "one\ntwo\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("First answer.") && said.out.contains("Second answer."),
        "{said:?}"
    );
    assert_eq!(
        model.calls()[1].history().len(),
        4,
        "system, question, answer, question"
    );

    let line = said
        .err
        .lines()
        .find(|line| line.contains("--thread"))
        .unwrap();
    let thread = line.rsplit(' ').next().unwrap();
    let said = home.tell(&["chat", "echo", "--thread", thread], "three\n/history\n");
    assert!(said.out.contains("Second answer."), "{said:?}");
    assert_eq!(said.out.matches("Third answer.").count(), 2, "{said:?}");
    assert_eq!(said.out.matches("you> one").count(), 2, "{said:?}");
    assert_eq!(model.calls()[2].history().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_cancels_the_run_and_says_so() {
    let script = Script::always(reply().text("One moment").hold("never").build());
    let model = Model::with(script).await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let mut run = Running::start(home.command(&["run", "echo", "Hello", "--json"]));
    run.out.until("message_delta").unwrap();
    run.signal("INT");
    run.out.until("\"cancelled\"").unwrap();
    let said = run.end();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("the run was cancelled"), "{said:?}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_in_a_chat_cancels_the_run_and_the_chat_goes_on() {
    let script = Script::replies([
        reply().text("One moment\n").hold("never").build(),
        Reply::text("Here again."),
    ]);
    let model = Model::with(script).await;
    let home = Home::with_model(&model);
    let _server = home.serve(&[]);
    let mut chat = Running::start({
        let mut command = home.command(&["chat", "echo"]);
        command.stdin(Stdio::piped());
        command
    });
    let mut stdin = chat.child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"one\n").unwrap();
    chat.out.until("One moment").unwrap();
    chat.signal("INT");
    chat.out.until("the run was stopped").unwrap();
    std::io::Write::write_all(&mut stdin, b"two\n").unwrap();
    chat.out.until("Here again.").unwrap();
    drop(stdin);
    assert_eq!(chat.end().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn approval_is_shown_whole_and_decided_in_the_chat() {
    let call = r#"{"deployment_id":"dep-1004"}"#;
    let model = Model::with(Script::tool_loop("pause_deployment", call, "It is paused.")).await;
    let home = Home::new();
    home.write("runyard.toml", &crate::program::lane(&model.url()));
    let _server = home.serve(&[]);
    let said = home.tell(&["chat", "deployment-advisor"], "Pause it.\ny\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("pause_deployment asks for approval:"),
        "{said:?}"
    );
    assert!(
        said.out.contains("\"deployment_id\": \"dep-1004\""),
        "{said:?}"
    );
    assert!(said.out.contains("It is paused."), "{said:?}");
    let result = model.calls()[1].last_tool_result().unwrap();
    assert!(result.contains("\"paused\""), "{result}");

    let said = home.tell(
        &["chat", "deployment-advisor"],
        "Pause it.\nnot on a Friday\n",
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    let result = model.calls()[3].last_tool_result().unwrap();
    assert!(result.contains("not on a Friday"), "{result}");
}
