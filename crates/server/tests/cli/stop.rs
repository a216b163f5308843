//! How a server stops, and what a watcher sees of it.

use crate::program::{Home, Running, Serving};
use scripted::{Script, Server as Model, reply};

#[tokio::test(flavor = "multi_thread")]
async fn run_at_work_is_finished_before_the_server_goes_and_its_watcher_loses_nothing() {
    let script = Script::always(
        reply()
            .text("First half, ")
            .hold("rest")
            .text("second half.")
            .build(),
    );
    let model = Model::with(script).await;
    let home = Home::with_model(&model);
    let mut server = home.serve(&[]);
    let address = server.address().to_owned();
    let mut run = Running::start(home.command(&["run", "echo", "Hello", "--json"]));
    run.out.until("First half").unwrap();
    server.process.signal("TERM");
    server.log_until("stopping");
    model.open_gate("rest");
    let said = server.process.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(model.count(), 1, "the model was asked once");

    // The watcher waits for the server to come back, and is told the rest.
    let server = Serving::start(home.command(&["serve", "--listen", &address]));
    let said = run.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    let text: String = said
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|event| event["delta"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "First half, second half.");
    assert_eq!(model.count(), 1);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_leaves_at_once_and_the_next_start_goes_on_with_the_run() {
    let script = Script::replies([
        reply().text("Never ends ").hold("never").build(),
        reply().text("Done after all.").build(),
    ]);
    let model = Model::with(script).await;
    let home = Home::with_model(&model);
    let mut server = home.serve(&[]);
    let address = server.address().to_owned();
    let mut run = Running::start(home.command(&["run", "echo", "Hello", "--json"]));
    run.out.until("Never ends").unwrap();
    server.process.signal("TERM");
    server.log_until("stopping");
    server.process.signal("TERM");
    let said = server.process.end();
    assert_eq!(said.code, Some(1), "{said:?}");

    let _server = Serving::start(home.command(&["serve", "--listen", &address]));
    run.out.until("turn_restarted").unwrap();
    run.out.until("Done").unwrap();
    assert_eq!(run.end().code, Some(0));
}
