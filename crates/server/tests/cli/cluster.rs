//! Several servers on one PostgreSQL database.

use crate::database::Database;
use crate::program::Home;
use scripted::{Reply, Script, Server as Model};
use tokio::runtime::Runtime;

#[test]
fn run_asked_of_one_server_is_carried_by_another() {
    let database = Database::new();
    let address = database.address();
    let runtime = Runtime::new().unwrap();
    let model = runtime.block_on(Model::with(Script::always(Reply::text("From afar."))));
    let (asked, carrying) = (Home::with_model(&model), Home::with_model(&model));
    let api = asked.serve(&["--database-url", &address, "--role", "api"]);
    let worker = carrying.serve(&["--database-url", &address, "--role", "worker"]);

    let said = asked.run(&["run", "echo", "Hello"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "From afar.\n"),
        "{said:?}"
    );

    // The second server found an owner in the database, and made none.
    assert!(!carrying.data().join("owner.key").exists());
    let made = carrying.run(&[
        "keys",
        "create",
        "--name",
        "other",
        "--database-url",
        &address,
    ]);
    let said = asked.run(&["run", "echo", "Hello", "--key", made.out.trim()]);
    assert_eq!(said.code, Some(0), "{said:?}");

    let said = api.stop();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        !said.out.contains(&address) && !said.err.contains(&address),
        "{said:?}"
    );
    assert_eq!(worker.stop().code, Some(0));
}

#[test]
fn database_that_is_not_there_is_named_without_its_password() {
    let home = Home::new();
    let url = "postgres://someone:secret-word@127.0.0.1:9/nothing";
    let said = home.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", url]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains("cannot connect to PostgreSQL at 127.0.0.1"),
        "{said:?}"
    );
    assert!(said.err.contains("--database-url"), "{said:?}");
    assert!(!said.err.contains("secret-word"), "{said:?}");
}
