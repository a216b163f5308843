//! The tools that there are, by name and by where they come from. A name belongs to one source: no source can put
//! its tool in another's place.

use crate::executor::Tool;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Another source offers a tool of this name already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{source_name}` offers a tool `{tool}`, but that name is taken")]
pub struct NameTaken {
    pub source_name: String,
    pub tool: String,
}

/// What tools of the configuration come from.
const CONFIGURED: &str = "";

pub(super) struct Catalog {
    tools: BTreeMap<String, Offered>,
    /// Names that the configuration gives to tools which their sources have yet to offer.
    reserved: Arc<BTreeMap<String, String>>,
}

#[derive(Clone)]
struct Offered {
    by: Arc<str>,
    tool: Arc<Tool>,
}

impl Catalog {
    pub(super) fn configured(tools: Vec<Tool>) -> Self {
        let by: Arc<str> = CONFIGURED.into();
        let offered = tools.into_iter().map(|tool| {
            let by = Arc::clone(&by);
            let tool = Arc::new(tool);
            (tool.spec.name.clone(), Offered { by, tool })
        });
        Self {
            tools: offered.collect(),
            reserved: Arc::default(),
        }
    }

    /// Keeps these names for their sources.
    pub(super) fn reserving(self, reserved: BTreeMap<String, String>) -> Self {
        Self {
            reserved: Arc::new(reserved),
            ..self
        }
    }

    pub(super) fn is_taken(&self, source: &str, name: &str) -> bool {
        let offered = self.tools.get(name).is_some_and(|tool| *tool.by != *source);
        let reserved = self.reserved.get(name).is_some_and(|by| by != source);
        offered || reserved
    }

    pub(super) fn replaced(&self, source: &str, tools: Vec<Tool>) -> Result<Self, NameTaken> {
        let by: Arc<str> = source.into();
        let mut kept = self.tools.clone();
        kept.retain(|_, offered| *offered.by != *by);
        for tool in tools {
            let name = tool.spec.name.clone();
            if kept.contains_key(&name) || self.is_taken(source, &name) {
                return Err(NameTaken {
                    source_name: source.to_owned(),
                    tool: name,
                });
            }
            let by = Arc::clone(&by);
            let tool = Arc::new(tool);
            kept.insert(name, Offered { by, tool });
        }
        Ok(Self {
            tools: kept,
            reserved: Arc::clone(&self.reserved),
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name).map(|offered| &offered.tool)
    }

    pub(super) fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values().map(|offered| &offered.tool)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }
}
