//! A failure as a person at the terminal reads it: one sentence on what is wrong, one on what to do. It is where the
//! typed errors of the crates below end.

use crate::config::ConfigError;
use std::error::Error;
use std::fmt;

#[derive(Debug)]
pub struct Failure {
    what: String,
    mend: String,
    /// The process's exit code.
    pub code: u8,
}

/// The command could not be carried out.
pub const FAILED: u8 = 1;

impl Failure {
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: mend.into(),
            code: FAILED,
        }
    }

    /// Adds the chain of causes to what is wrong.
    #[must_use]
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat the cause in the text.
            if !self.what.contains(&text) {
                self.what = format!("{}: {text}", self.what);
            }
            next = error.source();
        }
        self
    }

    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub fn mend(&self) -> &str {
        &self.mend
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mend = match &error {
            ConfigError::Read { .. } => "check the path, or leave --config and RUNYARD_CONFIG away",
            ConfigError::Syntax { .. } | ConfigError::Invalid { .. } => {
                "change it there; docs/configuration.md lists every setting"
            }
            ConfigError::NoHome => "set RUNYARD_DATA or HOME",
        };
        Self::new("the configuration is wrong", mend).because(&error)
    }
}
