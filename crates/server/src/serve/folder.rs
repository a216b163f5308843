//! The data folder: that it is there and can be written, and the note in it that tells commands on this machine where
//! the server answers.

use crate::cli::Failure;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::private_file;
use domain::ports::clock::Clock;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::{fs, io};

/// Makes the folder, for this user alone, and tries to write in it.
pub fn prepare(folder: &Path) -> Result<(), Failure> {
    try_write(folder).map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "give it to this user, or choose another with --data DIR"
            }
            io::ErrorKind::StorageFull => "free some space, or choose another disk with --data DIR",
            io::ErrorKind::ReadOnlyFilesystem => {
                "choose a folder on a disk that can be written with --data DIR"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "a file is in the way; choose another folder with --data DIR"
            }
            _ => "choose another folder with --data DIR",
        };
        Failure::new(
            format!("the data folder {} cannot be written", folder.display()),
            mend,
        )
        .because(&error)
    })
}

fn try_write(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    let missing = folder.ancestors().take_while(|it| !it.exists());
    let missing: Vec<&Path> = missing.filter(|it| !it.as_os_str().is_empty()).collect();
    builder.create(folder)?;
    for made in missing {
        private_file::keep_name(made)?;
    }
    let probe = folder.join(format!(".probe-{}", SystemClock.uuid().simple()));
    fs::write(&probe, b"x")?;
    fs::remove_file(&probe)
}

/// Writes down where the server answers, and gives its address as a client on this machine would write it.
pub fn announce(settings: &Settings, address: SocketAddr) -> Result<String, Failure> {
    let url = local_url(address);
    let note = json!({
        "url": url,
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let path = settings.server_file_path();
    private_file::write(&path, note.to_string().as_bytes()).map_err(|error| {
        Failure::new(
            format!("{} cannot be written", path.display()),
            "check the data folder's permissions and space",
        )
        .because(&error)
    })?;
    Ok(url)
}

/// Takes the note away, unless another server has put its own there meanwhile.
pub fn retract(settings: &Settings) {
    let path = settings.server_file_path();
    let ours = fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .is_some_and(|note| note["pid"] == std::process::id());
    if ours {
        // Clients look behind a stale note anyway.
        let _ = fs::remove_file(&path);
    }
}

/// A server that listens everywhere answers on the loopback too.
fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_one_that_a_client_can_use() {
        for (address, url) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.0.0.1:80", "http://10.0.0.1:80"),
        ] {
            assert_eq!(local_url(address.parse().unwrap()), url);
        }
    }
}
