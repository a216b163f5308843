//! What every crate's manifest says alike.

use crate::assert_none;
use crate::repository::{crates, table};
use toml::{Table, Value};

fn complaints(name: &str, manifest: &Table, is_library: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    if field(manifest, "lints", "workspace") != Some(&Value::Boolean(true)) {
        complaints.push(format!(
            "{name}: takes the lints of the workspace: [lints] workspace = true"
        ));
    }
    // Doc tests compile one program each; examples belong in tests.
    if is_library && field(manifest, "lib", "doctest") != Some(&Value::Boolean(false)) {
        complaints.push(format!("{name}: has no doc tests: [lib] doctest = false"));
    }
    // One version for each library, in one place.
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let listed = manifest.get(kind).and_then(Value::as_table);
        for (dependency, value) in listed.into_iter().flatten() {
            if value.get("workspace") != Some(&Value::Boolean(true)) {
                complaints.push(format!(
                    "{name}: {dependency} takes the version of the workspace"
                ));
            }
        }
    }
    complaints
}

fn field<'a>(manifest: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    manifest.get(section)?.get(key)
}

#[test]
fn manifests_follow_the_workspace() {
    let complaints: Vec<String> = crates()
        .iter()
        .flat_map(|member| complaints(&member.name, &member.manifest, member.is_library))
        .collect();
    assert_none(&complaints);
}

#[test]
fn odd_manifests_are_found() {
    let good = "[lib]\ndoctest = false\n[lints]\nworkspace = true\n";
    assert_none(&complaints("good", &table(good), true));
    for wrong in [
        "[lib]\ndoctest = false",
        "[lib]\n[lints]\nworkspace = true",
        &format!("{good}[dependencies]\nserde = \"1\""),
    ] {
        assert_eq!(complaints("wrong", &table(wrong), true).len(), 1, "{wrong}");
    }
}
