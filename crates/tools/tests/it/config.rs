//! What is wrong with a configuration is said in words that name the place.

use crate::support::{agent, gateway, scope, try_gateway};
use domain::ports::tools::Tools;
use domain::tool::{Effect, Policy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::config::Setting;

fn refused(toml: &str) -> String {
    let folder = TempDir::new().unwrap();
    rusqlite::Connection::open(folder.path().join("x.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a TEXT)")
        .unwrap();
    match try_gateway(toml, folder.path()) {
        Ok(_) => panic!("accepted: {toml}"),
        Err(error) => error,
    }
}

const DATABASES: &str =
    "[databases.x]\nurl = \"sqlite:x.db\"\n[databases.w]\nurl = \"x.db\"\nread_only = false\n";

/// A part of a configuration, and what a message about it says.
type Wrong = (&'static str, &'static [&'static str]);

const WRONG: &[Wrong] = &[
    (
        "[tools.a]\nkind = \"ftp\"",
        &["tool `a`", "unknown kind `ftp`", "`sql`"],
    ),
    (
        "[tools.a]\ndescription = \"x\"",
        &["tool `a`", "missing field `kind`"],
    ),
    (
        "[tools.a]\nkind = \"http\"",
        &["tool `a`", "missing field `url`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nmetod = \"GET\"",
        &["tool `a`", "unknown field `metod`", "`method`"],
    ),
    (
        "[tools.a]\nkind = \"builtin\"\neffect = \"safe\"",
        &["tool `a`", "unknown variant `safe`", "`idempotent`"],
    ),
    (
        "[tools.a]\nkind = \"builtin\"\npolicy = \"maybe\"",
        &["tool `a`", "unknown variant `maybe`"],
    ),
    (
        "[tools.a]\nkind = \"builtin\"",
        &["tool `a`", "no builtin `a`", "current_time"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\neffect = \"unsafe\"",
        &["tool `current_time`", "its own `effect`"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\ninput_schema = {}",
        &["tool `current_time`", "its own `input_schema`"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\ntimeout_s = 0",
        &["tool `current_time`", "`timeout_s`"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\ntimeout_s = -1.5",
        &["`timeout_s`"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\ntimeout_s = nan",
        &["timeout_s"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\nmax_result_bytes = 1",
        &["`max_result_bytes`"],
    ),
    (
        "[tools.current_time]\nkind = \"builtin\"\nmax_concurrency = 0",
        &["`max_concurrency`"],
    ),
    (
        "[tools.\"a b\"]\nkind = \"builtin\"\nbuiltin = \"current_time\"",
        &["tool `a b`", "letters"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/{id}\"",
        &["tool `a`", "`id`", "require"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nquery = {q = \"{id}\"}",
        &["tool `a`", "the request takes `id`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\ninput_schema = {type = \"object\", properties = {q = {}}}",
        &["tool `a`", "has `q`", "nothing"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\ninput_schema = {type = \"object\", properties = {runyard_org = {}}}",
        &["tool `a`", "runyard_org"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\ninput_schema = {type = \"string\"}",
        &["tool `a`", "input_schema", "object"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://{h}/\"",
        &["tool `a`", "`url`", "host"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nmethod = \"CONNECT\"",
        &["tool `a`", "`method`", "DELETE"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nmethod = \"GET\\r\\nX: y\"",
        &["`method`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nmethod = \"POST\"\nredirects = 1",
        &["`redirects`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nredirects = 6",
        &["`redirects`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {Host = \"y\"}",
        &["tool `a`", "`headers.Host`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {\"X Y\" = \"y\"}",
        &["`headers.X Y`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = \"a\\r\\nb\"}",
        &["`headers.X`", "characters"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = {env = \"TEST_BAD_HEADER\"}}",
        &["`headers.X`", "characters"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = {env = \"NOT_SET\"}}",
        &["tool `a`", "`NOT_SET`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = {env = \"A\", b = 1}}",
        &["tool `a`", "unknown field `b`"],
    ),
    (
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = 1}",
        &["tool `a`", "env"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"y\"\nsql = \"SELECT 1\"",
        &["tool `a`", "`[databases.y]`", "w, x"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"SELECT :b\"",
        &["tool `a`", "a statement takes `b`"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"SELECT 1\"\ninput_schema = {type = \"object\", properties = {q = {}}}",
        &["tool `a`", "has `q`"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"SELECT missing FROM t\"",
        &["tool `a`", "statement 1", "no such column"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = [\"SELECT 1\", \"DELETE FROM t\"]",
        &["tool `a`", "statement 2", "writes = true"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"DELETE FROM t\"\nwrites = true",
        &["tool `a`", "`[databases.x]` is read-only"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"w\"\nsql = \"SELECT 1\"\neffect = \"keyed\"",
        &["tool `a`", "writes = true"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = []",
        &["tool `a`", "`sql`"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"PRAGMA user_version\"",
        &["statement 1", "begin with"],
    ),
    (
        "[tools.a]\nkind = \"sql\"\ndatabase = \"x\"\nsql = \"SELECT 1\"\nmax_rows = 0",
        &["`max_rows`"],
    ),
    (
        "[databases.z]\nurl = \"none.db\"",
        &["database `z`", "none.db", "does not exist"],
    ),
    (
        "[databases.z]\nurl = {env = \"NOT_SET\"}",
        &["database `z`", "`NOT_SET`"],
    ),
    (
        "[databases.z]\nurl = \"postgres://h:port/x\"",
        &["database `z`", "URL"],
    ),
    (
        "[databases.z]\nurl = \"x.db\"\nmode = 1",
        &["unknown field `mode`"],
    ),
    (
        "[egress]\nallow_private = [\"localhost\"]",
        &["egress", "`allow_private`", "`localhost`"],
    ),
    (
        "[egress]\nallow_hosts = [\"http://x\"]",
        &["egress", "`allow_hosts`", "`http://x`"],
    ),
    ("[egress]\nallow = []", &["unknown field `allow`"]),
];

#[test]
fn messages_name_the_tool_and_what_is_wrong() {
    for (toml, said) in WRONG {
        let error = refused(&format!("{DATABASES}{toml}"));
        for part in *said {
            assert!(error.contains(part), "{toml}\nsays: {error}\nnot: {part}");
        }
    }
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", Setting::Literal("s3cret-canary".to_owned())).contains("canary"));
    let error = refused("[databases.z]\nurl = \"postgres://u:s3cret-canary@h:bad/\"");
    assert!(!error.contains("canary"), "{error}");
    let error = refused(
        "[tools.a]\nkind = \"http\"\nurl = \"http://x/\"\nheaders = {X = {env = \"TEST_BAD_HEADER\"}}",
    );
    assert!(!error.contains("Evil"), "{error}");
}

#[test]
fn tools_have_cautious_defaults_and_a_version_of_their_definition() {
    let folder = TempDir::new().unwrap();
    let toml = |description: &str, effect: &str| {
        format!(
            "[tools.ping]\nkind = \"http\"\nurl = \"http://x/\"\ndescription = \"{description}\"\n{effect}\n"
        )
    };
    let spec = |toml: &str| {
        let specs = gateway(toml, folder.path()).specs(&scope(), &agent(&["ping"]));
        assert_eq!(specs.len(), 1);
        specs[0].clone()
    };
    let plain = spec(&toml("d", ""));
    assert_eq!((plain.effect, plain.policy), (Effect::Unsafe, Policy::Auto));
    assert_eq!(
        Value::Object(plain.input_schema.clone()),
        json!({"type": "object", "properties": {}})
    );
    assert_eq!(plain.version.len(), 64);
    assert_eq!(plain, spec(&toml("d", "effect = \"unsafe\"")));
    // Who may call it is no part of what it is.
    assert_eq!(plain.version, spec(&toml("d", "policy = \"ask\"")).version);
    let schema = "input_schema = {type = \"object\", properties = {q = {type = \"string\"}}}\nquery = {q = \"{q}\"}";
    for other in [
        toml("e", ""),
        toml("d", "effect = \"keyed\""),
        toml("d", schema),
    ] {
        assert_ne!(plain.version, spec(&other).version, "{other}");
    }
}

/// Lines of a configuration, and the same with something changed that decides what a call does.
const OTHER_CALLS: [(&str, &str); 13] = [
    ("url = \"http://x/a/{q}\"", "url = \"http://x/b/{q}\""),
    ("url = \"http://x/a/{q}\"", "url = \"http://y/a/{q}\""),
    ("method = \"POST\"", "method = \"PUT\""),
    ("body = {a = 1}", "body = {a = 2}"),
    ("\"X-Mode\" = \"dry\"", "\"X-Mode\" = \"wet\""),
    ("env = \"TEST_SECRET\"", "env = \"TEST_POSTGRES\""),
    (
        "sql = \"UPDATE t SET a = :q\"",
        "sql = \"UPDATE t SET a = :q || 'x'\"",
    ),
    ("database = \"one\"", "database = \"two\""),
    ("url = \"one.db\"", "url = \"two.db\""),
    ("max_rows = 7", "max_rows = 8"),
    ("equals = \"paid\"", "equals = \"due\""),
    ("returns = \"row\"", "returns = \"rows\""),
    ("user@127.0.0.1:1/a", "user@127.0.0.1:1/b"),
];

/// And with something changed that does not.
const SAME_CALLS: [(&str, &str); 3] = [
    ("policy = \"ask\"", "policy = \"auto\""),
    ("timeout_s = 5", "timeout_s = 6"),
    ("user@127.0.0.1:1/a", "user:renewed@127.0.0.1:1/a"),
];

const IDENTIFIED: &str = r#"
[databases.one]
url = "one.db"
read_only = false
[databases.two]
url = "two.db"
read_only = false
[databases.far]
url = "postgres://user@127.0.0.1:1/a"
[tools.http]
kind = "http"
method = "POST"
url = "http://x/a/{q}"
body = {a = 1}
policy = "ask"
timeout_s = 5
headers = {"X-Mode" = "dry", "X-Key" = {env = "TEST_SECRET"}}
input_schema = {type = "object", properties = {q = {type = "string"}}, required = ["q"]}
[tools.http.probe]
tool = "far"
happened = {pointer = "/state", equals = "paid"}
[tools.sql]
kind = "sql"
database = "one"
writes = true
sql = "UPDATE t SET a = :q"
returns = "row"
max_rows = 7
input_schema = {type = "object", properties = {q = {type = "string"}}}
[tools.far]
kind = "sql"
database = "far"
effect = "idempotent"
sql = "SELECT 1"
"#;

#[test]
fn a_version_tells_of_everything_that_decides_what_a_call_does() {
    let folder = TempDir::new().unwrap();
    for file in ["one.db", "two.db"] {
        let db = rusqlite::Connection::open(folder.path().join(file)).unwrap();
        db.execute_batch("CREATE TABLE t (a TEXT)").unwrap();
    }
    let versions = |toml: &str| -> Vec<String> {
        let gateway = gateway(toml, folder.path());
        let specs = gateway.specs(&scope(), &agent(&["http", "sql", "far"]));
        specs.iter().map(|spec| spec.version.clone()).collect()
    };
    let plain = versions(IDENTIFIED);
    assert_eq!(plain.len(), 3);
    for (line, other) in OTHER_CALLS {
        let changed = IDENTIFIED.replacen(line, other, 1);
        assert_ne!(changed, IDENTIFIED, "{line} is not there");
        let changed = versions(&changed);
        let count = plain.iter().zip(&changed).filter(|(a, b)| a != b).count();
        assert_eq!(count, 1, "{other} changes the one tool that it is about");
    }
    for (line, other) in SAME_CALLS {
        let changed = IDENTIFIED.replacen(line, other, 1);
        assert_ne!(changed, IDENTIFIED, "{line} is not there");
        assert_eq!(versions(&changed), plain, "{other}");
    }
}

#[test]
fn specs_keep_the_agents_order_and_leave_out_what_is_not_there() {
    let folder = TempDir::new().unwrap();
    let toml = ["b", "a", "c"]
        .map(|name| format!("[tools.{name}]\nkind = \"builtin\"\nbuiltin = \"current_time\"\n"));
    let gateway = gateway(&toml.concat(), folder.path());
    let agent = agent(&["c", "x", "a"]);
    for _ in 0..2 {
        let specs = gateway.specs(&scope(), &agent);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["c", "a"]);
    }
    assert_eq!(gateway.missing(&agent), ["x"]);
    assert_eq!(gateway.names(), ["a", "b", "c"]);
    // The list is remembered by version, but not mistaken for another agent's.
    let mut other = agent;
    other.tools = vec!["b".to_owned()];
    assert_eq!(gateway.specs(&scope(), &other)[0].name, "b");
}
