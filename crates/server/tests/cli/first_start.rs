//! Several servers started at the same moment on one database that nobody has used: all start, and there is one owner.

use crate::database::Database;
use crate::program::{Home, Running, Serving, tls};
use scripted::{Reply, Script, Server as Model};
use serde_json::Value;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Servers that start at once.
const SERVERS: usize = 3;
const CHOSEN: &str = "a-key-that-the-operator-chose-0123456789";

/// A fresh database and a prefix of NATS of its own.
struct Ground {
    database: Database,
    prefix: String,
    model: Model,
    runtime: Runtime,
}

impl Ground {
    fn new() -> Self {
        tls();
        let runtime = Runtime::new().unwrap();
        let script = Script::always(Reply::text("One of three."));
        Self {
            database: Database::new(),
            prefix: format!("cli-{}", Uuid::now_v7().simple()),
            model: runtime.block_on(Model::with(script)),
            runtime,
        }
    }

    fn home(&self) -> Home {
        let home = Home::with_model(&self.model);
        let config = std::fs::read_to_string(home.path().join("runyard.toml")).unwrap();
        // A key of the whole file stands above its tables.
        let config = format!("nats_prefix = \"{}\"\n{config}", self.prefix);
        home.write("runyard.toml", &config);
        home
    }

    /// One server in each of these homes, started before any of them is ready.
    fn start(&self, homes: &[&Home], chosen: Option<&str>) -> Vec<Serving> {
        let nats = std::env::var("RUNYARD_TEST_NATS")
            .unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
        let address = self.database.address();
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            &address,
            "--nats",
            &nats,
        ];
        let starting: Vec<Running> = homes
            .iter()
            .map(|home| {
                let mut command = home.command(&arguments);
                if let Some(key) = chosen {
                    command.env("RUNYARD_OWNER_KEY", key);
                }
                Running::start(command)
            })
            .collect();
        starting.into_iter().map(Serving::ready).collect()
    }

    /// The owners' keys that the database has.
    fn owners(&self, home: &Home) -> Vec<Value> {
        let address = self.database.address();
        let listed = home.run(&["keys", "list", "--json", "--database-url", &address]);
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let keys = listed.out.lines();
        keys.map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|key| key["role"] == "owner")
            .collect()
    }

    fn check(&self, servers: Vec<Serving>, key: &str, home: &Home) {
        let owners = self.owners(home);
        assert_eq!(owners.len(), 1, "{owners:?}");
        for server in &servers {
            let (status, body) = self
                .runtime
                .block_on(server.get("/api/v1/agents/keys", key));
            assert_eq!(status, 200, "{body}");
            let arguments = ["run", "echo", "Hello", "--url", &server.url, "--key", key];
            let said = home.run(&arguments);
            assert_eq!(said.out, "One of three.\n", "{said:?}");
        }
        for server in servers {
            let said = server.stop();
            assert_eq!(said.code, Some(0), "{said:?}");
        }
    }
}

/// What a start leaves in the folder beside what it is for.
fn drafts(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".new") || name.starts_with(".probe"))
        .collect()
}

#[test]
fn servers_on_one_folder_start_at_once_and_leave_one_owner() {
    let ground = Ground::new();
    let home = ground.home();
    let servers = ground.start(&[&home; SERVERS], None);
    let key = home.owner_key();
    ground.check(servers, &key, &home);
    assert_eq!(home.owner_key(), key);
    assert_eq!(drafts(&home), [""; 0]);
}

#[test]
fn servers_on_folders_of_their_own_start_at_once_and_one_has_the_owner() {
    let ground = Ground::new();
    let homes = [ground.home(), ground.home(), ground.home()];
    let servers = ground.start(&homes.each_ref(), None);
    let kept: Vec<&Home> = homes
        .iter()
        .filter(|home| home.data().join("owner.key").exists())
        .collect();
    let [home] = kept[..] else {
        panic!("{} folders have a key", kept.len());
    };
    ground.check(servers, &home.owner_key(), home);
}

#[test]
fn servers_that_are_told_one_key_start_at_once() {
    let ground = Ground::new();
    let homes = [ground.home(), ground.home(), ground.home()];
    let servers = ground.start(&homes.each_ref(), Some(CHOSEN));
    ground.check(servers, CHOSEN, &homes[0]);
}

#[test]
fn key_of_a_start_that_died_before_the_store_had_it_is_taken_by_the_next() {
    let model = Runtime::new().unwrap();
    let model = model.block_on(Model::start());
    let (other, home) = (Home::with_model(&model), Home::with_model(&model));
    other.serve(&[]).stop();
    home.write("data/owner.key", &other.owner_key());
    home.serve(&[]).stop();
    assert_eq!(home.owner_key(), other.owner_key());
    // What is no key is nobody's, and a key is made in its place.
    let home = Home::with_model(&model);
    home.write("data/owner.key", "no key");
    home.serve(&[]).stop();
    assert!(home.owner_key().starts_with("ry_"), "{}", home.owner_key());
}
