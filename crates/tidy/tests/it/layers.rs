//! Which crate may know which crate and which library; the picture is in ARCHITECTURE.

use crate::assert_none;
use crate::repository::{crates, table};
use toml::Table;

/// A crate, the crates it may depend on, and those that its tests may use besides.
struct Layer {
    name: &'static str,
    may_know: &'static [&'static str],
    tests_may_know: &'static [&'static str],
}

const fn layer(
    name: &'static str,
    may_know: &'static [&'static str],
    tests_may_know: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        may_know,
        tests_may_know,
    }
}

const EVERY_CRATE: [&str; 8] = [
    "domain", "bus", "engine", "store", "models", "tools", "server", "scripted",
];

const LAYERS: [Layer; 12] = [
    layer("domain", &[], &[]),
    // A message between servers must not depend on a database, or the other way round.
    layer("bus", &["domain"], &[]),
    layer(
        "engine",
        &["domain"],
        &["bus", "store", "models", "scripted"],
    ),
    layer("store", &["domain"], &[]),
    layer("models", &["domain"], &["scripted", "store"]),
    layer("tools", &["domain"], &["scripted", "store"]),
    layer(
        "server",
        &[
            "domain", "bus", "engine", "store", "models", "tools", "proof",
        ],
        &["scripted"],
    ),
    layer("scripted", &[], &[]),
    // It knows servers by their processes and their API alone.
    layer("proof", &["scripted", "tools"], &[]),
    layer("bench", &EVERY_CRATE, &[]),
    layer("tidy", &[], &[]),
    layer("xtask", &[], &[]),
];

/// A library, the crates that may name it, and whether every crate's tests may.
struct Library {
    name: &'static str,
    only: &'static [&'static str],
    in_tests: bool,
}

const fn library(name: &'static str, only: &'static [&'static str], in_tests: bool) -> Library {
    Library {
        name,
        only,
        in_tests,
    }
}

/// `tools` opens databases of other people for its SQL tool; ours are opened by `store` alone.
const DATABASE: &[&str] = &["store", "tools"];
/// `proof` makes databases of its own and removes them.
const POSTGRES: &[&str] = &["store", "tools", "proof"];
/// `scripted` is a model server to test against, `bench` a yardstick, `proof` has a service that tools act on.
const HTTP_SERVER: &[&str] = &["server", "scripted", "bench", "proof"];

const LIBRARIES: [Library; 9] = [
    library("async-nats", &["bus"], false),
    library("rusqlite", DATABASE, false),
    // Tests make databases of their own and remove them.
    library("tokio-postgres", POSTGRES, true),
    library("deadpool-postgres", DATABASE, false),
    library("tokio-postgres-rustls", DATABASE, false),
    library("axum", HTTP_SERVER, true),
    library("tower-http", &["server"], false),
    library("genai", &["models"], false),
    library("rmcp", &["tools", "bench"], true),
];

/// What would give the domain a way to do something instead of deciding it.
const NEVER_IN_DOMAIN: [&str; 6] = ["tokio", "tokio-util", "reqwest", "axum", "hyper", "tower"];

fn complaints(name: &str, manifest: &Table) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        return vec![format!(
            "{name}: a new crate needs a row in LAYERS, and a reason"
        )];
    };
    let mut complaints = Vec::new();
    for (dependency, is_test) in dependencies(manifest) {
        let dependency = dependency.as_str();
        if LAYERS.iter().any(|layer| layer.name == dependency) {
            let known = layer.may_know.contains(&dependency)
                || is_test && layer.tests_may_know.contains(&dependency);
            if !known {
                complaints.push(format!("{name}: may not depend on {dependency}"));
            }
        }
        if let Some(library) = LIBRARIES.iter().find(|library| library.name == dependency) {
            let allowed = library.only.contains(&name) || is_test && library.in_tests;
            if !allowed {
                let only = library.only.join(", ");
                complaints.push(format!("{name}: only {only} may name {dependency}"));
            }
        }
        if name == "domain" && NEVER_IN_DOMAIN.contains(&dependency) {
            complaints.push(format!(
                "domain: does no I/O, so it never names {dependency}"
            ));
        }
    }
    complaints
}

/// Every dependency by its package's name, with whether only tests have it.
fn dependencies(manifest: &Table) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let by_target = manifest
        .get("target")
        .and_then(|target| target.as_table())
        .into_iter()
        .flat_map(|targets| targets.values())
        .filter_map(|target| target.as_table());
    for table in std::iter::once(manifest).chain(by_target) {
        let kinds = [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ];
        for (kind, is_test) in kinds {
            let listed = table.get(kind).and_then(|listed| listed.as_table());
            for (key, value) in listed.into_iter().flatten() {
                // A renamed dependency is still the package it names.
                let name = value
                    .get("package")
                    .and_then(|name| name.as_str())
                    .unwrap_or(key);
                found.push((name.to_owned(), is_test));
            }
        }
    }
    found
}

#[test]
fn arrows_point_one_way() {
    let complaints: Vec<String> = crates()
        .iter()
        .flat_map(|member| complaints(&member.name, &member.manifest))
        .collect();
    assert_none(&complaints);
}

#[test]
fn wrong_arrows_are_found() {
    let wrong = [
        ("domain", "[dependencies]\ntokio.workspace = true"),
        ("engine", "[dependencies]\nstore.workspace = true"),
        ("store", "[dev-dependencies]\nengine.workspace = true"),
        ("store", "[build-dependencies]\nmodels.workspace = true"),
        ("server", "[dependencies]\nscripted.workspace = true"),
        ("server", "[dependencies]\nrusqlite.workspace = true"),
        (
            "engine",
            "[dev-dependencies]\ndb = { package = \"rusqlite\", version = \"1\" }",
        ),
        (
            "models",
            "[target.'cfg(unix)'.dependencies]\naxum.workspace = true",
        ),
        ("xtask", "[dependencies]\ndomain.workspace = true"),
        ("helpers", ""),
    ];
    for (name, manifest) in wrong {
        assert_eq!(
            complaints(name, &table(manifest)).len(),
            1,
            "{name}\n{manifest}"
        );
    }
}

#[test]
fn right_arrows_are_let_pass() {
    let right = [
        (
            "engine",
            "[dependencies]\ndomain.workspace = true\ntokio.workspace = true",
        ),
        ("engine", "[dev-dependencies]\nstore.workspace = true"),
        ("tools", "[dependencies]\nrusqlite.workspace = true"),
        ("tools", "[dev-dependencies]\naxum.workspace = true"),
    ];
    for (name, manifest) in right {
        assert_none(&complaints(name, &table(manifest)));
    }
}
