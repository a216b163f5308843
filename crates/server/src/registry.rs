//! The agents that this server knows: the Markdown files of one folder, read again when they change. A file that breaks
//! is reported while its last good version goes on serving. It does not know who runs an agent.

mod definition;
mod samples;
mod watch;

#[cfg(test)]
mod tests;

pub use definition::{Definition, Flaw, parse};
pub use samples::{Sample, install as install_samples};
pub use watch::watch;

use crate::app::{AgentEntry, AgentSource, AgentState};
use arc_swap::ArcSwap;
use domain::agent::Agent;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use std::{fs, io};

/// Bytes of one definition; prompts are far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A definition that cannot be used, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    /// From 1; `None` if it is not about one line.
    pub line: Option<usize>,
    pub message: String,
    /// The version that goes on serving in its place.
    pub serving: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What one look at the folder changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Agents that are new or have another version now.
    pub loaded: Vec<String>,
    pub removed: Vec<String>,
    /// Problems that were not there at the last look.
    pub problems: Vec<Problem>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.loaded.is_empty() && self.removed.is_empty() && self.problems.is_empty()
    }
}

/// A file as it was last read.
#[derive(Clone)]
struct Known {
    stamp: Stamp,
    /// The last good definition.
    good: Option<Arc<Definition>>,
    flaw: Option<Flaw>,
}

/// Changes whenever a file is written by any editor: time alone is too coarse on some file systems.
type Stamp = (Option<SystemTime>, u64);

#[derive(Default)]
struct Snapshot {
    agents: BTreeMap<String, Arc<Definition>>,
    problems: Vec<Problem>,
}

pub struct Registry {
    folder: PathBuf,
    files: Mutex<BTreeMap<PathBuf, Known>>,
    now: ArcSwap<Snapshot>,
}

impl Registry {
    /// Reads the folder. Broken files are problems of the registry, not a failure.
    pub fn open(folder: &Path) -> Self {
        let registry = Self {
            folder: folder.to_owned(),
            files: Mutex::new(BTreeMap::new()),
            now: ArcSwap::default(),
        };
        registry.reload();
        registry
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folder again. Cheap when nothing changed: unchanged files are not read.
    pub fn reload(&self) -> Changes {
        let mut files = self.files.lock().expect("no holder of this lock panics");
        let before = self.now.load_full();
        let listed = match list(&self.folder) {
            Ok(listed) => listed,
            Err(error) => {
                // A folder that cannot be listed says nothing about its agents: they stay.
                return self.folder_unreadable(&before, &error);
            }
        };
        files.retain(|path, _| listed.contains_key(path));
        for (path, stamp) in listed {
            let last = files.get(&path);
            if last.is_some_and(|known| known.stamp == stamp) {
                continue;
            }
            let good = last.and_then(|known| known.good.clone());
            let known = match read(&path) {
                Ok(definition) => Known {
                    stamp,
                    good: Some(Arc::new(definition)),
                    flaw: None,
                },
                Err(flaw) => Known {
                    stamp,
                    good,
                    flaw: Some(flaw),
                },
            };
            files.insert(path, known);
        }
        let after = Arc::new(snapshot(&files));
        let changes = compare(&before, &after);
        self.now.store(after);
        changes
    }

    fn folder_unreadable(&self, before: &Snapshot, error: &io::Error) -> Changes {
        let problem = Problem {
            path: self.folder.clone(),
            line: None,
            message: format!("the agents' folder cannot be read: {error}"),
            serving: None,
        };
        let after = Arc::new(Snapshot {
            agents: before.agents.clone(),
            problems: vec![problem],
        });
        let changes = compare(before, &after);
        self.now.store(after);
        changes
    }

    /// Every definition that serves, by agent type.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.now.load().agents.values().cloned().collect()
    }

    pub fn problems(&self) -> Vec<Problem> {
        self.now.load().problems.clone()
    }

    /// What the agents name that this server does not have. They serve nevertheless: a tool or a lane may come later.
    /// Without `lanes` these are not looked at.
    pub fn warnings(
        &self,
        is_known: &dyn Fn(&str) -> bool,
        lanes: Option<&[String]>,
    ) -> Vec<Problem> {
        let files = self.files.lock().expect("no holder of this lock panics");
        let mut warnings = Vec::new();
        for (path, known) in files.iter() {
            let Some(definition) = &known.good else {
                continue;
            };
            let agent = &definition.agent;
            let mut warn = |kind: &str, name: &String, line: usize| {
                warnings.push(Problem {
                    path: path.clone(),
                    line: Some(line),
                    message: format!("this server has no {kind} `{name}`"),
                    serving: Some(agent.version.clone()),
                });
            };
            for (name, line) in agent.tools.iter().zip(&definition.tool_lines) {
                if !is_known(name) {
                    warn("tool", name, *line);
                }
            }
            for (name, line) in agent.lanes.iter().zip(&definition.lane_lines) {
                if lanes.is_some_and(|lanes| !lanes.contains(name)) {
                    warn("lane", name, *line);
                }
            }
        }
        warnings
    }
}

impl AgentSource for Registry {
    fn get(&self, agent_type: &str) -> Option<Arc<Agent>> {
        let now = self.now.load();
        now.agents
            .get(agent_type)
            .map(|definition| definition.agent.clone())
    }

    fn list(&self) -> Vec<AgentEntry> {
        let now = self.now.load();
        let ready = now.agents.values().map(|definition| AgentEntry {
            agent_type: definition.agent.agent_type.clone(),
            state: AgentState::Ready(definition.agent.clone()),
        });
        // A file whose last good version serves is in both: its author wants to know.
        let broken = now.problems.iter().map(|problem| AgentEntry {
            agent_type: stem(&problem.path).replace('-', "_"),
            state: AgentState::Broken {
                message: shown(problem),
            },
        });
        ready.chain(broken).collect()
    }
}

/// A problem for readers who need not know the server's folders.
fn shown(problem: &Problem) -> String {
    let name = problem.path.file_name().unwrap_or_default().display();
    let line = problem
        .line
        .map_or(String::new(), |line| format!(":{line}"));
    let serving = match problem.serving {
        Some(_) => "; its last good version goes on serving",
        None => "",
    };
    format!("{name}{line}: {}{serving}", problem.message)
}

/// The folder's definitions and their stamps. Hidden files and `README.md` are not definitions.
fn list(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut listed = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_definition = name.is_some_and(|name| {
            !name.starts_with('.')
                && name.ends_with(".md")
                && !name.eq_ignore_ascii_case("readme.md")
        });
        if !is_definition {
            continue;
        }
        // A file that went away in between is not there.
        let Ok(about) = fs::metadata(&path) else {
            continue;
        };
        if about.is_file() {
            listed.insert(path, (about.modified().ok(), about.len()));
        }
    }
    Ok(listed)
}

fn read(path: &Path) -> Result<Definition, Flaw> {
    let flaw = |message: String| Flaw { line: 1, message };
    let about = fs::metadata(path).map_err(|error| flaw(format!("cannot be read: {error}")))?;
    if about.len() > FILE_BYTES_MAX {
        return Err(flaw(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text =
        fs::read_to_string(path).map_err(|error| flaw(format!("cannot be read: {error}")))?;
    parse(&text, &stem(path))
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn snapshot(files: &BTreeMap<PathBuf, Known>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (path, known) in files {
        if let Some(definition) = &known.good {
            let agent_type = &definition.agent.agent_type;
            if let Some(owner) = owners.get(agent_type) {
                snapshot.problems.push(Problem {
                    path: path.clone(),
                    line: Some(definition.agent_type_line),
                    message: format!(
                        "agent_type {agent_type} is taken by {}; choose another",
                        owner.display()
                    ),
                    serving: None,
                });
            } else {
                owners.insert(agent_type.clone(), path.clone());
                snapshot
                    .agents
                    .insert(agent_type.clone(), definition.clone());
            }
        }
        if let Some(flaw) = &known.flaw {
            snapshot.problems.push(Problem {
                path: path.clone(),
                line: Some(flaw.line),
                message: flaw.message.clone(),
                serving: known
                    .good
                    .as_ref()
                    .map(|definition| definition.agent.version.clone()),
            });
        }
    }
    snapshot
}

fn compare(before: &Snapshot, after: &Snapshot) -> Changes {
    let version = |snapshot: &Snapshot, agent_type: &str| {
        snapshot
            .agents
            .get(agent_type)
            .map(|definition| definition.agent.version.clone())
    };
    Changes {
        loaded: after
            .agents
            .keys()
            .filter(|agent_type| version(before, agent_type) != version(after, agent_type))
            .cloned()
            .collect(),
        removed: before
            .agents
            .keys()
            .filter(|agent_type| !after.agents.contains_key(*agent_type))
            .cloned()
            .collect(),
        problems: after
            .problems
            .iter()
            .filter(|problem| !before.problems.contains(problem))
            .cloned()
            .collect(),
    }
}
