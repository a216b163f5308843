//! The store's seam: every method names the org it serves, and those that cross orgs are listed.

use crate::assert_none;
use crate::repository::{files, text};

const PORTS: &str = "crates/domain/src/ports/";

/// Methods that see more than one org, or data of none. A new one is a decision, so it is made here.
const CROSS_ORG: [&str; 32] = [
    // A key says which org is calling, so it is looked up before there is one.
    "system_find_key",
    "system_touch_keys",
    "system_has_owner",
    "system_create_first_owner",
    "system_sweep_session_keys",
    // Workers serve all orgs.
    "system_register_worker",
    "system_heartbeat",
    "system_release_worker",
    "system_claim_runs",
    "system_runs_of_worker",
    "system_due_approvals",
    "system_due_sessions",
    "system_sweep_idempotent",
    // What changes on the server is in every org's record.
    "system_list_orgs",
    "system_note_fact",
    // An endpoint may be told of every org.
    "system_take_deliveries",
    "system_settle_delivery",
    "system_sweep_deliveries",
    "system_delete_old_runs",
    // Agents are the server's, from its own files.
    "system_put_agent",
    "system_get_agent",
    "system_now",
    // So are the servers that offer tools, what is trusted of them, and the logins there.
    "system_see_tools",
    "system_tool_pins",
    "system_accept_tool",
    "system_find_login",
    "system_put_login",
    "system_delete_login",
    "system_hold_login",
    "system_renew_login",
    "system_release_login",
    // Clearing away what is over its time.
    "system_sweep_results",
];

/// Methods about the store itself.
const OF_THE_STORE: [&str; 3] = ["check", "kind", "close"];

#[derive(Debug, PartialEq, Eq)]
struct Method {
    name: String,
    /// The first parameter after `&self`.
    first: String,
}

/// The methods of the traits whose names end in `Store`. A sketch of a parser: it relies on rustfmt.
fn store_methods(source: &str) -> Vec<Method> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let traits = code.split("pub trait ").skip(1).filter(|declared| {
        let end = declared
            .find([':', '{', '<', ' ', '\n'])
            .unwrap_or(declared.len());
        declared[..end].ends_with("Store")
    });
    traits
        .flat_map(|declared| {
            let body = declared.split("\n}").next().unwrap_or_default();
            body.split("fn ").skip(1).filter_map(method)
        })
        .collect()
}

fn method(declared: &str) -> Option<Method> {
    let (name, rest) = declared.split_once('(')?;
    let parameters = rest.split("->").next()?.trim_start();
    let first = parameters
        .strip_prefix("&self")?
        .trim_start_matches([',', ' ', '\n']);
    let end = first.find([',', ')']).unwrap_or(first.len());
    Some(Method {
        name: name.to_owned(),
        first: first[..end].trim().to_owned(),
    })
}

fn complaint(method: &Method) -> Option<String> {
    let Method { name, first } = method;
    let name = name.as_str();
    if name.starts_with("system_") {
        let listed = CROSS_ORG.contains(&name);
        return (!listed).then(|| format!("{name}: crosses orgs and is not listed in CROSS_ORG"));
    }
    if OF_THE_STORE.contains(&name) || first == "scope: &OrgScope" {
        return None;
    }
    Some(format!(
        "{name}: begins with `scope: &OrgScope`, or its name with `system_`"
    ))
}

#[test]
fn store_methods_name_their_org() {
    let methods: Vec<Method> = files()
        .iter()
        .filter(|file| file.starts_with(PORTS))
        .filter_map(|file| text(file))
        .flat_map(|source| store_methods(&source))
        .collect();
    assert!(
        methods.len() > 20,
        "the store's ports are not where they were: {methods:?}"
    );
    let mut complaints: Vec<String> = methods.iter().filter_map(complaint).collect();
    for listed in CROSS_ORG {
        if !methods.iter().any(|method| method.name == listed) {
            complaints.push(format!("{listed}: is gone; take it off CROSS_ORG"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn methods_are_read_as_rustfmt_leaves_them() {
    let source = "
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Not fn this(&self).
    async fn get_run(&self, scope: &OrgScope, id: RunId) -> StoreResult<Option<Run>>;
    async fn commit_run(
        &self,
        scope: &OrgScope,
        expected: Expected,
    ) -> StoreResult<Committed>;
    async fn steal_run(&self, id: RunId) -> StoreResult<Run>;
    async fn system_steal_run(&self, id: RunId) -> StoreResult<Run>;
    async fn list_all(&self) -> StoreResult<Vec<Run>>;
    async fn check(&self) -> StoreResult<()>;
}

pub trait Clock {
    fn now(&self) -> Timestamp;
}
";
    let methods = store_methods(source);
    let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "get_run",
            "commit_run",
            "steal_run",
            "system_steal_run",
            "list_all",
            "check"
        ]
    );
    let wrong: Vec<&Method> = methods.iter().filter(|m| complaint(m).is_some()).collect();
    assert_eq!(
        wrong,
        [
            &Method {
                name: "steal_run".into(),
                first: "id: RunId".into()
            },
            &Method {
                name: "system_steal_run".into(),
                first: "id: RunId".into()
            },
            &Method {
                name: "list_all".into(),
                first: String::new()
            },
        ]
    );
}
