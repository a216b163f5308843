//! Folders by the platform's convention. It does not create anything.

use super::Env;
use std::path::PathBuf;

const NAME: &str = "runyard";

/// Where this user's programs keep their data: `$XDG_DATA_HOME`, else `~/.local/share`; on macOS
/// `~/Library/Application Support`; on Windows `%LOCALAPPDATA%`. `None` if the environment names no home.
pub fn data(env: &Env) -> Option<PathBuf> {
    let base = if cfg!(windows) {
        PathBuf::from(env.get("LOCALAPPDATA")?)
    } else if let Some(folder) = absolute(env, "XDG_DATA_HOME") {
        folder
    } else if cfg!(target_os = "macos") {
        home(env)?.join("Library/Application Support")
    } else {
        home(env)?.join(".local/share")
    };
    Some(base.join(NAME))
}

/// Where this user's programs look for their settings.
pub fn config(env: &Env) -> Option<PathBuf> {
    let base = if cfg!(windows) {
        PathBuf::from(env.get("APPDATA")?)
    } else if let Some(folder) = absolute(env, "XDG_CONFIG_HOME") {
        folder
    } else if cfg!(target_os = "macos") {
        home(env)?.join("Library/Application Support")
    } else {
        home(env)?.join(".config")
    };
    Some(base.join(NAME))
}

/// The base directory specification says to ignore relative paths.
fn absolute(env: &Env, name: &str) -> Option<PathBuf> {
    env.get(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn home(env: &Env) -> Option<PathBuf> {
    absolute(env, "HOME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn data_follows_the_base_directory_specification() {
        let home = Env::from([("HOME", "/home/ann")]);
        assert_eq!(data(&home), Some("/home/ann/.local/share/runyard".into()));
        assert_eq!(config(&home), Some("/home/ann/.config/runyard".into()));
        let set = Env::from([("HOME", "/home/ann"), ("XDG_DATA_HOME", "/srv")]);
        assert_eq!(data(&set), Some("/srv/runyard".into()));
        let relative = Env::from([("HOME", "/home/ann"), ("XDG_DATA_HOME", "srv")]);
        assert_eq!(data(&relative), data(&home));
        assert_eq!(data(&Env::default()), None);
    }
}
