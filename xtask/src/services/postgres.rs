//! Knocks at a PostgreSQL server and starts a private one.

use super::address::Address;
use super::started::{Folder, Server, User, free_port};
use crate::{child, places};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Succeeds if a PostgreSQL server lets the URL's user in.
///
/// With a password in the URL, being asked for it counts: the answer is left to the tests' client.
/// Message layouts: PostgreSQL documentation, "Message Formats", StartupMessage and Authentication.
pub fn ask(address: &Address) -> anyhow::Result<()> {
    let user = address.user.as_deref().unwrap_or("postgres");
    let database = address.database.as_deref().unwrap_or(user);
    let mut stream = address.connect()?;
    stream.write_all(&startup(user, database))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    match head[0] {
        b'R' => {
            let mut method = [0; 4];
            stream.read_exact(&mut method)?;
            let method = u32::from_be_bytes(method);
            if method != 0 && !address.has_password {
                bail!("it wants a password for user {user}");
            }
        }
        b'E' => bail!("it refuses user {user} or database {database}"),
        _ => bail!("what answers there is not PostgreSQL"),
    }
    // Terminate, so that the server's log has no lost connection. It may be gone already.
    let _ = stream.write_all(&[b'X', 0, 0, 0, 4]);
    Ok(())
}

fn startup(user: &str, database: &str) -> Vec<u8> {
    const PROTOCOL_3_0: u32 = 196_608;
    let body = format!("user\0{user}\0database\0{database}\0\0");
    let length = u32::try_from(body.len() + 8).expect("a URL's parts are short");
    let mut message = Vec::from(length.to_be_bytes());
    message.extend(PROTOCOL_3_0.to_be_bytes());
    message.extend(body.as_bytes());
    message
}

/// The folder of the newest installed server programs, in `PATH` or where distributions put them.
pub fn programs() -> Option<PathBuf> {
    let distributions = [
        "/usr/lib/postgresql",
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/usr",
    ]
    .into_iter()
    .flat_map(places::newest_first)
    .map(|folder| folder.join("bin"));
    places::program_folders()
        .into_iter()
        .chain(distributions)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Starts a server on a free port with an empty database; returns it with its URL once it answers.
pub fn start(folder: &Folder) -> anyhow::Result<(Server, String)> {
    let programs = programs().context("its programs are not installed")?;
    let data = folder.path().join("postgres");
    fs::create_dir(&data)?;
    let user = unprivileged(fs::metadata(&data)?.uid())?;
    if let Some(User { uid, gid }) = user {
        chown(&data, Some(uid), Some(gid))?;
    }

    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ])
        .arg("--pgdata")
        .arg(&data)
        .current_dir(folder.path())
        .stdout(Stdio::null());
    if let Some(User { uid, gid }) = user {
        initdb.uid(uid).gid(gid);
    }
    ensure!(child::run(&mut initdb)?.success(), "initdb failed");

    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", free_port()?);
    let address = Address::parse(&url)?;
    let mut command = Command::new(programs.join("postgres"));
    command
        .arg("-D")
        .arg(&data)
        .args(["-h", &address.host, "-p", &address.port.to_string()]);
    // No socket file, many short-lived pools, and data that nobody will miss.
    for setting in [
        "unix_socket_directories=",
        "max_connections=400",
        "fsync=off",
    ] {
        command.args(["-c", setting]);
    }
    let mut server = Server::start("postgres", &command, user, folder)?;
    server.wait(|| ask(&address))?;
    Ok((server, url))
}

/// Whom to run as: PostgreSQL refuses to run as root, so then its own user or else nobody.
fn unprivileged(uid: u32) -> anyhow::Result<Option<User>> {
    if uid != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("cannot read the list of users")?;
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| parse_user(&users, name));
    Ok(Some(user.context(
        "running as root, and there is no user postgres or nobody",
    )?))
}

fn parse_user(users: &str, name: &str) -> Option<User> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    Some(User {
        uid: ids.next()?.ok()?,
        gid: ids.next()?.ok()?,
    })
}
