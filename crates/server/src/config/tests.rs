use super::*;
use std::path::Path;

fn flags() -> Flags {
    Flags::default()
}

fn home() -> Env {
    Env::from([("HOME", "/home/ann")])
}

/// Settings from a file's text in a folder of its own.
fn with_file(text: &str, flags: &Flags, env: &Env) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    load(flags, env, folder.path()).map_err(|error| {
        let place = folder.path().display().to_string();
        error.to_string().replace(&format!("{place}/"), "")
    })
}

#[test]
#[cfg(target_os = "linux")]
fn defaults_need_no_file() {
    let settings = load(&flags(), &home(), Path::new("/nowhere")).unwrap();
    assert_eq!(settings.listen.value.to_string(), DEFAULT_LISTEN);
    assert_eq!(
        settings.data.value,
        Path::new("/home/ann/.local/share/runyard")
    );
    assert_eq!(settings.agents.value, settings.data.value.join("agents"));
    assert_eq!(settings.role.value, Role::All);
    assert_eq!(settings.limits, Limits::default());
    assert!(settings.lanes.is_empty() && settings.detect_lanes);
}

#[test]
fn flag_beats_environment_beats_file() {
    let text = "listen = \"127.0.0.1:1\"\n";
    let from = |flag: Option<&str>, env: &Env| {
        let flags = Flags {
            listen: flag.map(str::to_owned),
            ..flags()
        };
        let settings = with_file(text, &flags, env).unwrap();
        (settings.listen.value.port(), settings.listen.source)
    };
    let set = Env::from([("HOME", "/home/ann"), ("RUNYARD_LISTEN", "127.0.0.1:2")]);
    let (port, source) = from(None, &home());
    assert_eq!(port, 1);
    assert!(matches!(source, Source::File(_, 1)));
    assert_eq!(from(None, &set), (2, Source::Env("RUNYARD_LISTEN")));
    assert_eq!(from(Some("127.0.0.1:3"), &set), (3, Source::Flag("listen")));
}

#[test]
fn complaints_name_the_place() {
    for (text, expected) in [
        (
            "listen = \"x\"",
            "runyard.toml:1: listen cannot be \"x\": give address:port",
        ),
        (
            "\nrole = \"king\"",
            "runyard.toml:2: role cannot be \"king\": it is all, api or worker",
        ),
        (
            "role = \"api\"",
            "runyard.toml:1: role cannot be \"api\": nobody would carry the runs",
        ),
        (
            "\n\nlisten_on = 1",
            "runyard.toml:3: unknown field `listen_on`",
        ),
        (
            "[limits]\nbody_max = 1",
            "runyard.toml:2: limits.body_max cannot be \"1\": there is no limit",
        ),
        (
            "[limits]\n\ndrain_s = -1",
            "runyard.toml:3: limits.drain_s cannot be \"-1\": must be a whole number",
        ),
        (
            "database_url = \"mysql://u:secret@h\"",
            "runyard.toml:1: database_url cannot be \"mysql://…\"",
        ),
        (
            "[[lanes]]\nname = \"a\"\nkind = \"cloud\"\nwire = \"morse\"",
            "runyard.toml:4: unknown variant `morse`",
        ),
        (
            "[[lanes]]\nname = \"a\"\nkind = \"cloud\"\nwire = \"anthropic\"\napi_key_env = \"NO_KEY\"",
            "runyard.toml:1: lanes cannot be \"a\": lane \"a\": the environment variable NO_KEY",
        ),
        ("[tools.x]\nkind = \"magic\"", "runyard.toml:"),
    ] {
        let error = with_file(text, &flags(), &home()).unwrap_err();
        assert!(
            error.starts_with(expected),
            "{error}\n  does not begin with\n{expected}"
        );
    }
}

#[test]
fn variable_is_named_when_it_is_wrong() {
    let env = Env::from([("HOME", "/home/ann"), ("RUNYARD_ROLE", "king")]);
    let error = load(&flags(), &env, Path::new("/nowhere")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "RUNYARD_ROLE: role cannot be \"king\": it is all, api or worker"
    );
    let env = Env::from([("HOME", "/home/ann"), ("RUNYARD_LIMIT_DRAIN_S", "soon")]);
    let error = load(&flags(), &env, Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("RUNYARD_LIMIT_DRAIN_S cannot be \"soon\""),
        "{error}"
    );
}

#[test]
fn lane_takes_its_key_from_the_variable_it_names() {
    use secrecy::ExposeSecret;
    let text = "[[lanes]]\nname = \"a\"\nkind = \"cloud\"\nwire = \"openai-chat\"\napi_key_env = \"MY_KEY\"\n";
    let env = Env::from([
        ("HOME", "/home/ann"),
        ("MY_KEY", "k"),
        ("OPENAI_API_KEY", "other"),
    ]);
    let settings = with_file(text, &flags(), &env).unwrap();
    assert_eq!((settings.lanes.len(), settings.detect_lanes), (1, false));
    assert_eq!(
        settings.lanes[0].api_key.as_ref().unwrap().expose_secret(),
        "k"
    );
}

#[test]
fn usual_variables_alone_make_a_lane() {
    let env = Env::from([("HOME", "/home/ann"), ("OPENAI_API_KEY", "k")]);
    let settings = load(&flags(), &env, Path::new("/nowhere")).unwrap();
    assert_eq!((settings.lanes.len(), settings.detect_lanes), (1, false));
}

#[test]
fn paths_of_the_file_start_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.toml");
    let text = "data = \"d\"\n[databases.db]\nurl = \"x.sqlite\"\n";
    std::fs::write(&path, text).unwrap();
    let mut flags = flags();
    flags.places.config = Some(path.display().to_string());
    let settings = load(&flags, &home(), Path::new("/nowhere")).unwrap();
    assert_eq!(settings.data.value, folder.path().join("d"));
    let expected = folder.path().join("x.sqlite").display().to_string();
    let url = settings.tools.databases["db"].url.clone();
    assert_eq!(url, ::tools::config::Setting::Literal(expected));
}

#[test]
fn file_that_was_asked_for_must_be_there() {
    let mut flags = flags();
    flags.places.config = Some("/nowhere/runyard.toml".to_owned());
    let error = load(&flags, &home(), Path::new("/")).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
}

#[test]
fn database_is_a_file_or_an_address() {
    let with = |url: Option<&str>| {
        let mut flags = flags();
        flags.places.data = Some("d".to_owned());
        flags.places.database_url = url.map(str::to_owned);
        let settings = load(&flags, &home(), Path::new("/here")).unwrap();
        settings.store_name()
    };
    assert_eq!(with(None), "SQLite at /here/d/runyard.db");
    assert_eq!(with(Some("sqlite:x.db")), "SQLite at /here/x.db");
    assert_eq!(with(Some("sqlite:///srv/x.db")), "SQLite at /srv/x.db");
    assert_eq!(
        with(Some("postgres://u:secret@h/d")),
        "PostgreSQL (from --database-url)"
    );
}
