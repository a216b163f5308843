//! What is wrong with a setting, where it was set, and what to do. It prints nothing.

use super::Source;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{from}: {key} cannot be {value:?}: {why}")]
    Invalid {
        from: Source,
        key: String,
        value: String,
        why: String,
    },
    #[error(
        "no folder for the data is known, because the environment names no home; give one with --data DIR"
    )]
    NoHome,
}

impl ConfigError {
    pub(super) fn invalid(
        from: &Source,
        key: &str,
        value: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            from: from.clone(),
            key: key.to_owned(),
            value: value.into(),
            why: why.into(),
        }
    }
}
