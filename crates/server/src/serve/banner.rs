//! What a started server tells the person who started it: where it is, which key opens it, which agents and models there
//! are. It goes to standard output; the log has its own way.

use crate::cli::{Style, program, say};
use crate::config::Settings;
use crate::first_start::NewOwner;
use crate::registry::Registry;
use domain::lane::{LaneInfo, LaneKind};
use secrecy::ExposeSecret;
use std::io::{self, IsTerminal};

pub struct Banner<'a> {
    pub url: &'a str,
    pub owner: Option<&'a NewOwner>,
    /// Opens the console signed in, once.
    pub link: Option<&'a str>,
    pub registry: &'a Registry,
    pub settings: &'a Settings,
    pub lanes: &'a [LaneInfo],
}

impl Banner<'_> {
    pub fn print(&self) {
        let is_terminal = io::stdout().is_terminal();
        let style = Style::of(is_terminal);
        say(&format!(
            "{} is ready at {}",
            style.bold(concat!("Runyard ", env!("CARGO_PKG_VERSION"))),
            style.bold(self.url)
        ));
        let rows = [
            ("key", self.key(is_terminal)),
            ("agents", self.agents()),
            ("models", self.models()),
            ("data", self.settings.store_name()),
            ("console", self.console()),
            ("docs", format!("{}/docs", self.url)),
            ("try", self.suggestion()),
        ];
        for (name, value) in rows {
            say(&format!("  {}  {value}", style.dim(&format!("{name:<7}"))));
        }
        say("");
    }

    /// A new key is shown on a terminal alone: what else is written ends in logs.
    fn key(&self, is_terminal: bool) -> String {
        let path = self.settings.owner_key_path();
        let kept = path.display();
        match self.owner {
            Some(owner) if owner.generated && is_terminal => format!(
                "{} (the owner's; shown this once, kept in {kept} for commands on this machine)",
                owner.secret.expose_secret()
            ),
            Some(owner) if owner.generated => {
                format!("the owner's new key is in {kept}, readable by this user alone")
            }
            Some(_) => format!(
                "RUNYARD_OWNER_KEY is the owner's; a copy for commands on this machine is in {kept}"
            ),
            None if path.is_file() => {
                format!("in {kept}; `{} keys create` makes others", program())
            }
            None => format!("`{} keys create --name NAME` makes one", program()),
        }
    }

    fn console(&self) -> String {
        match self.link {
            Some(link) => format!("{link} (signed in; works once, on this machine, soon)"),
            None => format!("{}/", self.url),
        }
    }

    fn agents(&self) -> String {
        let definitions = self.registry.definitions();
        let names: Vec<&str> = definitions
            .iter()
            .map(|definition| definition.agent.agent_type.as_str())
            .collect();
        let folder = self.registry.folder().display();
        let broken = self.registry.problems().len();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        let broken = match broken {
            0 => String::new(),
            count => format!("; {count} broken, see the log"),
        };
        format!("{names}{broken}  ({folder})")
    }

    fn models(&self) -> String {
        let shown: Vec<String> = self.lanes.iter().map(lane).collect();
        let shown = shown.join(", ");
        if !self.settings.lanes.is_empty() {
            return shown;
        }
        let looking = if self.settings.detect_lanes {
            "; looking for Ollama and others on this machine"
        } else {
            ""
        };
        format!(
            "{shown}: a built-in stand-in, no language model{looking}. Set OPENAI_API_KEY or ANTHROPIC_API_KEY for a real one"
        )
    }

    fn suggestion(&self) -> String {
        let definitions = self.registry.definitions();
        match definitions.first() {
            Some(definition) => format!("{} chat {}", program(), definition.agent.agent_type),
            None => format!("write an agent into {}", self.registry.folder().display()),
        }
    }
}

fn lane(lane: &LaneInfo) -> String {
    let kind = match lane.kind {
        LaneKind::Device => "device",
        LaneKind::Local => "local",
        LaneKind::Cloud => "cloud",
    };
    match lane.models.first() {
        Some(model) => format!("{} ({kind}, {model})", lane.name),
        None => format!("{} ({kind})", lane.name),
    }
}
