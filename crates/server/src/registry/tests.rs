use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn types(registry: &Registry) -> Vec<String> {
    let definitions = registry.definitions();
    definitions
        .iter()
        .map(|definition| definition.agent.agent_type.clone())
        .collect()
}

#[test]
fn samples_are_good_and_written_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("agents");
    for _ in 0..2 {
        install_samples(&folder).unwrap();
    }
    let registry = Registry::open(&folder);
    assert_eq!(registry.problems(), []);
    assert_eq!(types(&registry), ["deployment_advisor", "field_guide"]);
}

#[test]
fn broken_file_keeps_its_last_good_version() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "scout.md", "---\nname: A\n---\nHello.");
    let registry = Registry::open(folder.path());
    let version = registry.get("scout").unwrap().version.clone();

    write(
        folder.path(),
        "scout.md",
        "---\nname: A\nwrong: 1\n---\nHello.",
    );
    let changes = registry.reload();
    assert_eq!((changes.loaded.len(), changes.removed.len()), (0, 0));
    assert_eq!(changes.problems, registry.problems());
    let problem = &changes.problems[0];
    assert_eq!(
        (problem.line, problem.serving.as_deref()),
        (Some(3), Some(version.as_str()))
    );
    assert_eq!(registry.get("scout").unwrap().version, version);
    assert!(registry.reload().is_empty());

    write(folder.path(), "scout.md", "---\nname: Better\n---\nHello.");
    assert_eq!(registry.reload().loaded, ["scout"]);
    assert_eq!(registry.problems(), []);
    assert_eq!(registry.get("scout").unwrap().name, "Better");
}

#[test]
fn removed_file_removes_its_agent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.md", "---\nname: A\n---\nHello.");
    write(folder.path(), "b.md", "---\nname: B\n---\nHello.");
    write(folder.path(), "README.md", "No agent.");
    write(folder.path(), ".hidden.md", "No agent.");
    let registry = Registry::open(folder.path());
    assert_eq!(types(&registry), ["a", "b"]);
    fs::remove_file(folder.path().join("a.md")).unwrap();
    assert_eq!(registry.reload().removed, ["a"]);
    assert_eq!(types(&registry), ["b"]);
}

#[test]
fn second_file_of_a_type_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a.md",
        "---\nagent_type: same\nname: First\n---\nHello.",
    );
    write(
        folder.path(),
        "b.md",
        "---\nname: Second\nagent_type: same\n---\nHello.",
    );
    let registry = Registry::open(folder.path());
    assert_eq!(registry.get("same").unwrap().name, "First");
    let problems = registry.problems();
    assert_eq!((problems.len(), problems[0].line), (1, Some(3)));
    let listed = registry.list();
    let broken = listed
        .iter()
        .find_map(|entry| match &entry.state {
            AgentState::Broken { message } => Some(message.clone()),
            AgentState::Ready(_) => None,
        })
        .unwrap();
    assert!(
        broken.starts_with("b.md:3: agent_type same is taken by"),
        "{broken}"
    );
}

#[test]
fn missing_tools_and_lanes_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a.md",
        "---\ntools: [x, y]\nlanes: [l]\n---\nHello.",
    );
    let registry = Registry::open(folder.path());
    let warnings = registry.warnings(&|name| name == "x", Some(&[]));
    let told: Vec<String> = warnings
        .iter()
        .map(|problem| problem.message.clone())
        .collect();
    assert_eq!(
        told,
        ["this server has no tool `y`", "this server has no lane `l`"]
    );
}

#[test]
fn unreadable_folder_keeps_the_agents() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("agents");
    fs::create_dir(&folder).unwrap();
    write(&folder, "a.md", "---\nname: A\n---\nHello.");
    let registry = Registry::open(&folder);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(registry.reload().problems.len(), 1);
    assert_eq!(types(&registry), ["a"]);
}
