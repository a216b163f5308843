//! Takes each setting from the topmost layer that says something: flag, environment, file. It does not know what all the
//! settings are.

use super::file::File;
use super::limits::{LimitError, Limits};
use super::{
    AGENTS, ConfigError, DEFAULT_LISTEN, Database, Env, Flags, Nats, Places, Role, Source, Sourced,
    places,
};
use secrecy::SecretString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use toml::Spanned;

/// Where an installation that names no prefix talks.
const NATS_PREFIX: &str = "runyard";

/// The three layers above the defaults.
pub(super) struct Layers<'a> {
    pub(super) env: &'a Env,
    pub(super) here: &'a Path,
    pub(super) file: Option<&'a File>,
}

impl Layers<'_> {
    /// The topmost layer that sets a text. `names` are the flag's and the variable's.
    pub(super) fn text(
        &self,
        names: (&'static str, &'static str),
        flag: Option<&str>,
        in_file: Option<&Spanned<String>>,
    ) -> Option<Sourced<String>> {
        let (flag_name, variable) = names;
        if let Some(value) = flag {
            return Some(Sourced::new(value.to_owned(), Source::Flag(flag_name)));
        }
        if let Some(value) = self.env.get(variable) {
            return Some(Sourced::new(value.to_owned(), Source::Env(variable)));
        }
        in_file.map(|value| Sourced::new(value.get_ref().clone(), self.place(value)))
    }

    /// A path; in the file it is relative to the file's folder.
    pub(super) fn path(
        &self,
        names: (&'static str, &'static str),
        flag: Option<&str>,
        in_file: Option<&Spanned<String>>,
    ) -> Option<Sourced<PathBuf>> {
        self.text(names, flag, in_file).map(|text| {
            let path = self.base(&text.source).join(&text.value);
            Sourced::new(path, text.source)
        })
    }

    /// Where relative paths of this source start from.
    fn base<'b>(&'b self, source: &'b Source) -> &'b Path {
        match source {
            Source::File(path, _) => path.parent().unwrap_or(self.here),
            Source::Flag(_) | Source::Env(_) | Source::Default => self.here,
        }
    }

    pub(super) fn place<T>(&self, value: &Spanned<T>) -> Source {
        self.file.map_or(Source::Default, |file| {
            Source::File(file.path.clone(), file.line(value.span().start))
        })
    }

    pub(super) fn data(&self, places: &Places) -> Result<Sourced<PathBuf>, ConfigError> {
        let in_file = self.file.and_then(|file| file.tables.data.as_ref());
        match self.path(("data", "RUNYARD_DATA"), places.data.as_deref(), in_file) {
            Some(path) => Ok(path),
            None => places::data(self.env)
                .map(Sourced::default)
                .ok_or(ConfigError::NoHome),
        }
    }

    pub(super) fn agents(&self, flags: &Flags, data: &Path) -> Sourced<PathBuf> {
        let in_file = self.file.and_then(|file| file.tables.agents.as_ref());
        let names = ("agents", "RUNYARD_AGENTS");
        self.path(names, flags.agents.as_deref(), in_file)
            .unwrap_or_else(|| {
                let beside = self
                    .file
                    .and_then(|file| file.path.parent())
                    .map(|folder| folder.join(AGENTS))
                    .filter(|folder| folder.is_dir());
                Sourced::default(beside.unwrap_or_else(|| data.join(AGENTS)))
            })
    }

    pub(super) fn database(&self, places: &Places, data: &Path) -> Result<Database, ConfigError> {
        let in_file = self.file.and_then(|file| file.tables.database_url.as_ref());
        let names = ("database-url", "RUNYARD_DATABASE_URL");
        let Some(url) = self.text(names, places.database_url.as_deref(), in_file) else {
            return Ok(Database::Sqlite(data.join("runyard.db")));
        };
        let schemes = ["postgres://", "postgresql://"];
        if schemes.iter().any(|scheme| url.value.starts_with(scheme)) {
            return Ok(Database::Postgres(url.map(SecretString::from)));
        }
        if let Some(path) = url.value.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Database::Sqlite(self.base(&url.source).join(path)));
        }
        // The value may hold a password, so only its scheme is repeated.
        let scheme = url
            .value
            .split_once("://")
            .map_or("…", |(scheme, _)| scheme);
        Err(ConfigError::invalid(
            &url.source,
            "database_url",
            format!("{scheme}://…"),
            "it must begin with postgres:// or sqlite:",
        ))
    }

    pub(super) fn nats(&self, flags: &Flags) -> Option<Nats> {
        let tables = self.file.map(|file| &file.tables);
        let url = self.text(
            ("nats", "RUNYARD_NATS"),
            flags.nats.as_deref(),
            tables.and_then(|tables| tables.nats.as_ref()),
        )?;
        let prefix = self.text(
            ("nats_prefix", "RUNYARD_NATS_PREFIX"),
            None,
            tables.and_then(|tables| tables.nats_prefix.as_ref()),
        );
        let credentials = self.path(
            ("nats_credentials", "RUNYARD_NATS_CREDENTIALS"),
            None,
            tables.and_then(|tables| tables.nats_credentials.as_ref()),
        );
        Some(Nats {
            url: url.map(SecretString::from),
            prefix: prefix.map_or_else(|| NATS_PREFIX.to_owned(), |prefix| prefix.value),
            credentials: credentials.map(|path| path.value),
        })
    }

    pub(super) fn role(&self, flags: &Flags) -> Result<Sourced<Role>, ConfigError> {
        let in_file = self.file.and_then(|file| file.tables.role.as_ref());
        match self.text(("role", "RUNYARD_ROLE"), flags.role.as_deref(), in_file) {
            Some(text) => parsed("role", &text),
            None => Ok(Sourced::default(Role::All)),
        }
    }

    /// In the environment, items are separated by commas.
    pub(super) fn list(
        &self,
        variable: &'static str,
        in_file: Option<&Spanned<Vec<String>>>,
    ) -> Vec<String> {
        if let Some(text) = self.env.get(variable) {
            return text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect();
        }
        in_file.map_or_else(Vec::new, |items| items.get_ref().clone())
    }

    pub(super) fn detect(&self) -> Result<bool, ConfigError> {
        const VARIABLE: &str = "RUNYARD_DETECT";
        if let Some(text) = self.env.get(VARIABLE) {
            return bool::from_str(text).map_err(|_| {
                ConfigError::invalid(
                    &Source::Env(VARIABLE),
                    "detect",
                    text,
                    "it is true or false",
                )
            });
        }
        let in_file = self.file.and_then(|file| file.tables.detect.as_ref());
        Ok(in_file.is_none_or(|value| *value.get_ref()))
    }

    pub(super) fn limits(&self) -> Result<Limits, ConfigError> {
        let mut limits = Limits::default();
        for (name, value) in self.file.iter().flat_map(|file| &file.tables.limits) {
            let number = value.get_ref().as_integer();
            number
                .and_then(|number| u64::try_from(number).ok())
                .ok_or(LimitError::NotANumber)
                .and_then(|number| limits.set(name.get_ref(), number))
                .map_err(|error| {
                    let key = format!("limits.{}", name.get_ref());
                    let shown = value.get_ref().to_string();
                    ConfigError::invalid(&self.place(name), &key, shown, error.to_string())
                })?;
        }
        for row in Limits::TABLE {
            let variable = Limits::variable(row.name);
            let Some(text) = self.env.get(&variable) else {
                continue;
            };
            u64::from_str(text)
                .map_err(|_| LimitError::NotANumber)
                .and_then(|number| limits.set(row.name, number))
                .map_err(|error| {
                    let source = Source::Env("the environment");
                    ConfigError::invalid(&source, &variable, text, error.to_string())
                })?;
        }
        Ok(limits)
    }
}

pub(super) fn listen_address(text: &Sourced<String>) -> Result<Sourced<SocketAddr>, ConfigError> {
    let invalid = |why: String| ConfigError::invalid(&text.source, "listen", &text.value, why);
    let candidates = text.value.to_socket_addrs().map_err(|error| {
        invalid(format!(
            "give address:port, such as {DEFAULT_LISTEN} ({error})"
        ))
    })?;
    // A name such as localhost may mean both families; the older one is what clients try.
    let all: Vec<SocketAddr> = candidates.collect();
    let address = all
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| all.first())
        .ok_or_else(|| invalid("the name has no address".to_owned()))?;
    Ok(Sourced::new(*address, text.source.clone()))
}

pub(super) fn parsed<T: FromStr<Err = &'static str>>(
    key: &str,
    text: &Sourced<String>,
) -> Result<Sourced<T>, ConfigError> {
    match text.value.parse() {
        Ok(value) => Ok(Sourced::new(value, text.source.clone())),
        Err(why) => Err(ConfigError::invalid(&text.source, key, &text.value, why)),
    }
}
