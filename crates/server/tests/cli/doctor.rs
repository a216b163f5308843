//! `doctor` on what works and on what does not.

use crate::program::{ECHO, Home, lane};
use scripted::{ErrorKind, Reply, Script, Server as Model};

#[tokio::test(flavor = "multi_thread")]
async fn good_server_has_nothing_to_mend() {
    let model = Model::with(Script::default().models(&["scripted"])).await;
    let home = Home::with_model(&model);
    let server = home.serve(&[]);
    let said = home.run(&["doctor", "--listen", server.address()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for expected in [
        "can be read and written",
        "there is an owner's key",
        "scripted: ",
        "a Runyard server answers",
        "current_time",
    ] {
        assert!(said.out.contains(expected), "{expected}: {said:?}");
    }
    assert!(!said.out.contains("broken"), "{said:?}");
}

#[test]
fn nothing_yet_is_nothing_broken() {
    let home = Home::new();
    let said = home.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("is made at the first start"), "{said:?}");
    assert!(said.out.contains("no language model"), "{said:?}");
    assert!(
        said.out.contains("to mend it: set OPENAI_API_KEY"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_thing_is_named_with_its_remedy() {
    let model = Model::with(Script::always(Reply::error(ErrorKind::Auth))).await;
    let address = model.url();
    model.stop().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.write("agents/echo.md", ECHO);
    home.write("agents/bad.md", "no front matter");
    home.write("runyard.toml", &lane(&address));
    home.write(
        "data/runyard.db",
        "this is no database, whatever its name may say of it; far from it, indeed",
    );
    let said = home.run(&[
        "doctor",
        "--listen",
        &taken.local_addr().unwrap().to_string(),
    ]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for expected in [
        "bad.md:1: the file must begin with",
        "broken  lanes     scripted",
        "broken  store",
        "is taken by another program",
        "to mend it: choose another with --listen",
    ] {
        assert!(said.out.contains(expected), "{expected}: {said:?}");
    }
}
