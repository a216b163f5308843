//! Where the log goes and how it looks: text for a person at a terminal, JSON for programs. What is logged is decided
//! where it happens.

use crate::config::{ConfigError, LogFormat, Settings};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Sends everything logged from here on to standard error. Standard output is for what a command answers.
pub fn start(settings: &Settings) -> Result<(), ConfigError> {
    let level = &settings.log_level;
    let filter = EnvFilter::try_new(&level.value).map_err(|error| ConfigError::Invalid {
        from: level.source.clone(),
        key: "log.level".to_owned(),
        value: level.value.clone(),
        why: format!("it is a level such as info, or a list such as info,engine=debug ({error})"),
    })?;
    let is_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let json = match settings.log_format.value {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // Fails only where a log was started before, which then stays.
    let _ = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init()
    } else {
        builder
            .with_ansi(is_terminal)
            .with_target(false)
            .compact()
            .try_init()
    };
    Ok(())
}
