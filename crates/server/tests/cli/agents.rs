//! Agents' files: checked, listed, and read again while a server runs.

use crate::program::{ECHO, Home, Serving, tls};
use scripted::{Script, Server as Model};

#[test]
fn check_names_file_line_and_reason() {
    let home = Home::new();
    home.write("agents/good.md", ECHO);
    home.write(
        "agents/bad.md",
        "---\nname: Bad\n\ntols: [x]\n---\nHello.\n",
    );
    let said = home.run(&["agents", "check", "agents"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .contains("agents/bad.md:4: unknown key `tols`; known are agent_type"),
        "{said:?}"
    );
    assert!(said.out.contains("1 good, 1 broken"), "{said:?}");

    home.write(
        "agents/bad.md",
        "---\nname: Bad\ntools: [no_such_tool]\n---\nHello.\n",
    );
    let said = home.run(&["agents", "check", "agents"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out
            .contains("agents/bad.md:3: this server has no tool `no_such_tool`"),
        "{said:?}"
    );
}

#[test]
fn list_shows_the_agents_of_a_folder() {
    let home = Home::new();
    home.write("agents/echo.md", ECHO);
    let said = home.run(&["agents", "list", "agents"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let row = said.out.lines().find(|line| line.contains("echo")).unwrap();
    assert!(row.ends_with("Answers."), "{said:?}");
    let said = home.run(&["agents", "list", "no-such-folder"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("there is no folder"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_file_is_read_again_and_a_broken_one_is_not() {
    tls();
    let model = Model::with(Script::default()).await;
    let home = Home::with_model(&model);
    let mut server = home.serve(&[]);
    assert_eq!(described(&server, &home).await, "Answers.");

    home.write(
        "agents/echo.md",
        "---\nname: Echo\ndescription: Answers better.\n---\nYou answer.\n",
    );
    server.log_until("agent loaded");
    assert_eq!(described(&server, &home).await, "Answers better.");

    home.write("agents/echo.md", "---\nname: [\n---\nYou answer.\n");
    let line = server.log_until("echo.md:");
    assert!(
        line.contains("its last good version goes on serving"),
        "{line}"
    );
    assert_eq!(described(&server, &home).await, "Answers better.");
    let (_, list) = server.get("/api/v1/agents", &home.owner_key()).await;
    let told = list["broken"][0]["message"].as_str().unwrap();
    assert!(told.starts_with("echo.md:"), "{told}");

    home.write("agents/second.md", ECHO);
    let line = server.log_until("agent loaded");
    assert!(line.contains("second"), "{line}");
    std::fs::remove_file(home.path().join("agents/second.md")).unwrap();
    server.log_until("agent removed");
    let said = home.run(&["run", "second", "Hello"]);
    assert!(said.err.contains("there are: echo"), "{said:?}");
    assert_eq!(said.code, Some(4));
}

async fn described(server: &Serving, home: &Home) -> String {
    let (status, list) = server.get("/api/v1/agents", &home.owner_key()).await;
    assert_eq!(status, 200, "{list}");
    let agents = list["agents"].as_array().unwrap();
    let echo = agents
        .iter()
        .find(|agent| agent["agent_type"] == "echo")
        .unwrap();
    echo["description"].as_str().unwrap().to_owned()
}
