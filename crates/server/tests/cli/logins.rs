//! Logging in at an MCP server from a terminal, beside a running server.

use crate::program::{Home, Lines, finish, lane};
use scripted::{AuthFault, AuthServer, Does, Era, McpServer, McpTool, Server as Model};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

struct World {
    home: Home,
    auth: AuthServer,
    server: McpServer,
}

impl World {
    async fn new() -> Self {
        let model = Model::with(scripted::Script::default().models(&["scripted"])).await;
        let auth = AuthServer::start().await;
        let server = McpServer::start(Era::Modern, vec![McpTool::new("read", Does::Echo)]).await;
        server.guard(&auth);
        let home = Home::new();
        let config = format!(
            "{}\n[egress]\nallow_private = [\"127.0.0.1\"]\n\n[mcp.crm]\nurl = \"{}\"\noauth = {{}}\n\n[mcp.crm.orgs.acme]\n",
            lane(&model.url()),
            server.url()
        );
        home.write("runyard.toml", &config);
        Self { home, auth, server }
    }

    /// Logs in as a person does who opens the page that is printed; what the command says at its end.
    fn log_in(&self, more: &[&str]) -> crate::program::Said {
        let arguments = [&["mcp", "login", "crm"], more].concat();
        let mut child = self.home.command(&arguments).spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        let page = lines
            .until("/authorize")
            .unwrap_or_else(|said| panic!("{said}"));
        let page = page
            .split_whitespace()
            .find(|word| word.contains("/authorize"))
            .unwrap();
        let back = location(&get(page));
        assert!(get(&back).contains("The terminal has the answer"));
        let rest = lines.rest();
        let status = child.wait().unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        crate::program::Said {
            code: status.code(),
            out: rest,
            err,
        }
    }
}

/// The whole answer, head and body.
fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn location(answer: &str) -> String {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_and_out_beside_a_running_server() {
    let world = World::new().await;
    let home = &world.home;
    let mut serving = home.serve(&[]);
    serving.log_until("log in with `runyard mcp login crm`");
    let listed = home.run(&["mcp", "logins"]);
    assert!(listed.out.contains("logged out"), "{listed:?}");

    let said = world.log_in(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("Logged in at crm"), "{said:?}");
    home.run_until(&["mcp", "list"], |said| said.out.contains("trusted"));
    let listed = home.run(&["mcp", "logins", "--json"]);
    let all = listed
        .out
        .lines()
        .find(|line| line.contains("\"org\":null"));
    assert!(
        all.is_some_and(|line| line.contains("\"logged in\"")),
        "{listed:?}"
    );
    let doctor = home.run(&["doctor", "--listen", serving.address()]);
    assert!(doctor.out.contains("crm: speaks 2026-07-28"), "{doctor:?}");

    let theirs = world.log_in(&["--org", "acme"]);
    assert_eq!(theirs.code, Some(0), "{theirs:?}");
    serving.stop();
    assert_no_token_lies_open(home);

    // The next start needs no person.
    let again = home.serve(&[]);
    let heads = world.server.heads().len();
    home.run_until(&["mcp", "list"], |_| world.server.heads().len() > heads);
    let out = home.run(&["mcp", "logout", "crm"]);
    assert!(out.out.contains("Logged out of crm"), "{out:?}");
    let listed = home.run(&["mcp", "logins"]);
    assert!(
        listed.out.contains("logged out") && listed.out.contains("logged in"),
        "{listed:?}"
    );
    let record = home.run(&["audit", "export"]);
    for deed in ["mcp.logged_in", "mcp.logged_out"] {
        assert!(record.out.contains(deed), "{deed}: {record:?}");
    }
    again.stop();
}

/// Nothing in the data folder holds a token that could be read, and the key is for its owner alone.
fn assert_no_token_lies_open(home: &Home) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(home.data()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        for token in ["access-", "refresh-"] {
            let is_there = bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes());
            assert!(!is_there, "{token} in {}", path.display());
        }
    }
    let key = fs::metadata(home.data().join("secret.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_cannot_be_are_told_why() {
    let world = World::new().await;
    let home = &world.home;
    let unknown = home.run(&["mcp", "login", "mail"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("[mcp.mail]"), "{unknown:?}");
    let undeclared = home.run(&["mcp", "login", "crm", "--org", "globex"]);
    assert!(
        undeclared.err.contains("[mcp.crm.orgs.globex]"),
        "{undeclared:?}"
    );
    let out = home.run(&["mcp", "logout", "crm"]);
    assert!(out.err.contains("nobody was logged in"), "{out:?}");

    world.auth.fail(AuthFault::NoRegistration);
    let unregistered = home.run(&["mcp", "login", "crm"]);
    assert!(unregistered.err.contains("client_id"), "{unregistered:?}");
    world.auth.fail(AuthFault::Denies);
    let denied = world.log_in(&[]);
    assert_eq!(denied.code, Some(1));
    assert!(denied.err.contains("access_denied"), "{denied:?}");

    let wrong = finish(
        home.command(&["mcp", "logins"])
            .env("RUNYARD_SECRET_KEY", "no key")
            .spawn()
            .unwrap(),
        &["mcp", "logins"],
    );
    assert!(wrong.err.contains("64 hexadecimal digits"), "{wrong:?}");
    world.auth.fail(AuthFault::None);
    assert_eq!(world.log_in(&[]).code, Some(0));
    let other = finish(
        home.command(&["mcp", "logins"])
            .env("RUNYARD_SECRET_KEY", "0a".repeat(32))
            .spawn()
            .unwrap(),
        &["mcp", "logins"],
    );
    assert!(other.out.contains("sealed with another key"), "{other:?}");
}
