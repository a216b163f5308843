//! Flags, variables and the file, as the program itself reads them.

use crate::program::{Home, finish};

#[test]
fn flag_beats_variable_beats_file() {
    let home = Home::new();
    home.write("runyard.toml", "data = \"from-file\"\n");
    let data = |flag: Option<&str>, variable: Option<&str>| {
        let mut arguments = vec!["doctor", "--listen", "127.0.0.1:0"];
        arguments.extend(flag.iter().flat_map(|flag| ["--data", flag]));
        let mut command = home.command(&arguments);
        command.env_remove("RUNYARD_DATA");
        command.envs(variable.map(|variable| ("RUNYARD_DATA", variable)));
        let out = finish(command.spawn().unwrap(), &arguments).out;
        let line = out
            .lines()
            .find(|line| line.contains("  data  "))
            .unwrap()
            .to_owned();
        ["from-file", "from-variable", "from-flag"]
            .into_iter()
            .find(|name| line.contains(name))
            .unwrap_or_else(|| panic!("{out}"))
    };
    assert_eq!(data(None, None), "from-file");
    assert_eq!(data(None, Some("from-variable")), "from-variable");
    assert_eq!(data(Some("from-flag"), Some("from-variable")), "from-flag");
}

#[test]
fn mistake_in_the_file_names_its_line_and_nothing_starts() {
    let home = Home::new();
    home.write("runyard.toml", "listen = \"127.0.0.1:0\"\n\nlimts = 1\n");
    let said = home.run(&["serve"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("runyard.toml:3: unknown field `limts`"),
        "{said:?}"
    );
    assert!(said.err.contains("what to do: "), "{said:?}");
    assert!(!home.data().exists());
}

#[test]
fn mistake_in_a_variable_or_flag_names_it() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("RUNYARD_LISTEN", "somewhere");
    let err = finish(command.spawn().unwrap(), &["serve"]).err;
    assert!(
        err.contains("RUNYARD_LISTEN: listen cannot be \"somewhere\""),
        "{err}"
    );
    let said = home.run(&["serve", "--role", "king"]);
    assert!(
        said.err.contains("--role: role cannot be \"king\""),
        "{said:?}"
    );
}
