//! Migrations come in pairs: the same steps in the same order for both databases.

use crate::assert_none;
use crate::repository::files;
use std::collections::BTreeSet;

const SQLITE: &str = "crates/store/migrations/sqlite/";
const POSTGRES: &str = "crates/store/migrations/postgres/";

fn complaints(files: &[String]) -> Vec<String> {
    let names = |folder: &str| -> BTreeSet<&str> {
        files
            .iter()
            .filter_map(|file| file.strip_prefix(folder))
            .collect()
    };
    let (sqlite, postgres) = (names(SQLITE), names(POSTGRES));
    sqlite
        .symmetric_difference(&postgres)
        .map(|name| format!("{name}: is a migration of one database only"))
        .collect()
}

#[test]
fn migrations_come_in_pairs() {
    assert_none(&complaints(&files()));
}

#[test]
fn lonely_migrations_are_found() {
    let files = [
        "crates/store/migrations/sqlite/0001_orgs.sql",
        "crates/store/migrations/sqlite/0002_runs.sql",
        "crates/store/migrations/postgres/0001_orgs.sql",
        "crates/store/migrations/postgres/0002_run.sql",
    ];
    assert_eq!(complaints(&files.map(str::to_owned)).len(), 2);
}
