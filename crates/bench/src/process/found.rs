//! Processes that were there before, found by the port that they listen at.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use super::{Stat, stat};

/// The state of a socket that listens, in the system's tables (`TCP_LISTEN`).
const LISTENS: &str = "0A";
/// Where a table holds a socket's own address, its state and its inode (proc(5)).
const OWN_ADDRESS: usize = 1;
const STATE: usize = 3;
const INODE: usize = 9;

/// A service on this machine, with the processes that it starts for its work.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    id: u32,
}

impl Found {
    /// The process of this name that listens where the URL points. `None` if that is not the loopback, if this user may
    /// not look into the process, or if something else listens there on its behalf.
    pub fn at(url: &str, usual_port: u16, name: &str) -> Option<Self> {
        let port = loopback_port(url, usual_port)?;
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
        let inodes: Vec<String> = tables
            .iter()
            .flatten()
            .flat_map(|table| listeners(table, port))
            .collect();
        let id = processes().find(|id| is_named(*id, name) && holds(*id, &inodes))?;
        Some(Self { id })
    }

    /// Processor time used so far in seconds, by the process and by those that it started, ended ones included; `None`
    /// once it has ended.
    pub fn cpu_s(&self) -> Option<f64> {
        let all = processes().filter_map(|id| Some((id, stat(&id.to_string())?)));
        family_cpu_s(self.id, all)
    }
}

/// The time of a process and of its children. Whoever ends moves from its own row into its parent's.
fn family_cpu_s(id: u32, all: impl Iterator<Item = (u32, Stat)>) -> Option<f64> {
    let (mut own, mut children) = (None, 0.0);
    for (one, stat) in all {
        let used = stat.cpu_s + stat.ended_cpu_s;
        if one == id {
            own = Some(used);
        } else if stat.parent == id {
            children += used;
        }
    }
    Some(own? + children)
}

/// The ids of everything that runs.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_named(id: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|found| found.trim_end() == name)
}

/// Whether one of these sockets is the process's.
fn holds(id: u32, inodes: &[String]) -> bool {
    let files = fs::read_dir(format!("/proc/{id}/fd"));
    let mut links = files
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|link| {
        inodes
            .iter()
            .any(|inode| link == Path::new(&format!("socket:[{inode}]")))
    })
}

/// The inodes of the sockets of a table (`/proc/net/tcp`) that listen at the port.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, found) = fields.get(OWN_ADDRESS)?.rsplit_once(':')?;
        let is_wanted = u16::from_str_radix(found, 16) == Ok(port);
        let listens = *fields.get(STATE)? == LISTENS;
        let inode = *fields.get(INODE)?;
        (is_wanted && listens).then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// The port of `scheme://[user[:password]@]host[:port][/…]`, if its host is the loopback.
fn loopback_port(url: &str, usual_port: u16) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', ',']).next()?;
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, usual_port),
    };
    let mut addresses = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .ok()?;
    let is_loopback = |address: SocketAddr| address.ip().is_loopback();
    addresses.any(is_loopback).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_the_process_its_children_and_those_that_ended() {
        let stat = |parent, cpu_s, ended_cpu_s| Stat {
            parent,
            cpu_s,
            ended_cpu_s,
        };
        let all = [
            (1, stat(0, 100.0, 200.0)),
            (7, stat(1, 0.25, 2.0)),
            (8, stat(7, 0.5, 0.0)),
            (9, stat(7, 1.0, 0.25)),
            (10, stat(9, 64.0, 0.0)),
        ];
        assert_eq!(family_cpu_s(7, all.into_iter()), Some(4.0));
        assert_eq!(family_cpu_s(6, all.into_iter()), None);
    }

    #[test]
    fn only_who_listens_at_the_port_is_found() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   104        0 8011 1 0
   1: 0100007F:107E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8012 1 0
   2: 0100007F:1538 0100007F:8888 01 00000000:00000000 00:00000000 00000000   104        0 8013 1 0
";
        assert_eq!(listeners(table, 5432), ["8011"]);
        assert_eq!(listeners(table, 4222), ["8012"]);
        assert_eq!(listeners(table, 80), [""; 0]);
    }

    #[test]
    fn port_is_that_of_a_loopback_address() {
        let port = |url| loopback_port(url, 4222);
        assert_eq!(port("postgres://me:p@w@127.0.0.1:5433/x?y=z"), Some(5433));
        assert_eq!(port("nats://127.0.0.1"), Some(4222));
        assert_eq!(port("nats://[::1]"), Some(4222));
        assert_eq!(port("nats://[::1]:99,nats://127.0.0.1:98"), Some(99));
        assert_eq!(port("nats://192.0.2.1:4222"), None);
        assert_eq!(port("127.0.0.1:4222"), None);
    }

    #[test]
    fn who_listens_here_is_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("test://{}", listener.local_addr().unwrap());
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        let found = Found::at(&url, 0, name.trim_end()).unwrap();
        assert_eq!(found.id, std::process::id());
        assert!(found.cpu_s().is_some());
        assert!(Found::at(&url, 0, "another").is_none());
    }
}
