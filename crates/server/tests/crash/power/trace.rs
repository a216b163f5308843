//! What a server did to its files and told its clients, call by call and byte for byte, as strace wrote it down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// Every call by which a file of the data folder can change or be made to last, by which a client is heard or told, or by
/// which a file could change unseen. Those marked with `?` are not on every architecture.
pub const CALLS: &str = "openat,?creat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,\
    copy_file_range,fdatasync,fsync,sync_file_range,?mkdir,mkdirat,?unlink,unlinkat,?rename,?renameat,renameat2,?link,linkat,mmap,\
    sendto,sendmsg,recvfrom";

/// A call, or rather its beginning or its end: nobody knows when between the two it took effect.
#[derive(Debug)]
pub enum Moment {
    Begins(usize, Deed),
    Ends(usize),
}

/// Files go by their names in the data folder; the folder's own name is empty, and that of the folder around it is `..`.
#[derive(Debug)]
pub enum Deed {
    /// The data folder itself was made.
    Settle,
    /// Made if it was not there.
    Make(String),
    Write {
        file: String,
        /// Where; at the file's end if nothing is said.
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Resize(String, usize),
    Sync(String),
    Unlink(String),
    Rename(String, String),
    Link(String, String),
    Hear(String, Vec<u8>),
    Tell(String, Vec<u8>),
}

/// The whole of a trace. The server's clients are those of its address.
pub fn read(text: &str, data: &Path, address: SocketAddr) -> Vec<Moment> {
    let place = Place {
        folder: data.to_str().expect("the folder's name is text").to_owned(),
        socket: format!("TCP:[{address}->"),
    };
    let mut moments = Vec::new();
    let mut open: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').expect("a thread and a call");
        let rest = rest.trim_start();
        if let Some((call, _)) = rest.split_once(" <unfinished ...>") {
            open.insert(thread, (moments.len(), call));
            // What is sent and what is written is known from the beginning; whether it came to be, at the end.
            moments.push(None);
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            let Some((at, begin)) = open.remove(thread) else {
                continue;
            };
            if let Some(deed) = place.deed(&format!("{begin}{end}")) {
                moments[at] = Some(Moment::Begins(at, deed));
                moments.push(Some(Moment::Ends(at)));
            }
        } else if let Some(deed) = place.deed(rest) {
            let at = moments.len();
            moments.push(Some(Moment::Begins(at, deed)));
            moments.push(Some(Moment::Ends(at)));
        }
    }
    // Those that the end of the server cut short may have happened.
    for (at, begin) in open.into_values() {
        let deed = place.deed(&format!("{begin}) = unknown"));
        moments[at] = deed.map(|deed| Moment::Begins(at, deed));
    }
    moments.into_iter().flatten().collect()
}

struct Place {
    folder: String,
    socket: String,
}

impl Place {
    /// What a finished call was; `None` if it failed, or concerns nobody.
    fn deed(&self, call: &str) -> Option<Deed> {
        let (name, arguments) = call.split_once('(')?;
        let (arguments, result) = arguments.rsplit_once(" = ")?;
        if result.starts_with(['-', '?']) {
            return None;
        }
        let arguments = arguments.trim_end().strip_suffix(')')?;
        match name {
            "openat" | "creat" => {
                let makes = name == "creat" || arguments.contains("O_CREAT");
                let empties = makes && arguments.contains("O_TRUNC");
                assert!(
                    !(empties && self.is_database(arguments)),
                    "a database was opened to be emptied: {call}"
                );
                makes.then(|| self.named(arguments, 0).map(Deed::Make))?
            }
            "mkdir" | "mkdirat" => self
                .named(arguments, 0)
                .filter(String::is_empty)
                .map(|_| Deed::Settle),
            "unlink" | "unlinkat" => self.named(arguments, 0).map(Deed::Unlink),
            "rename" | "renameat" | "renameat2" => Some(Deed::Rename(
                self.named(arguments, 0)?,
                self.named(arguments, 1)?,
            )),
            "link" | "linkat" => Some(Deed::Link(
                self.named(arguments, 0)?,
                self.named(arguments, 1)?,
            )),
            "mmap" => {
                let unseen = arguments.contains("MAP_SHARED") && self.opened(arguments).is_some();
                assert!(!unseen, "a file is written behind the trace's back");
                None
            }
            _ => {
                let mut bytes = bytes(arguments);
                bytes.truncate(result.parse().unwrap_or(usize::MAX));
                match self.peer(arguments) {
                    Some(peer) if name == "recvfrom" => Some(Deed::Hear(peer, bytes)),
                    Some(peer) => Some(Deed::Tell(peer, bytes)),
                    None => done(name, self.opened(arguments)?, arguments, bytes),
                }
            }
        }
    }

    /// The file that the call's descriptor stands for, if it is one that lasts.
    fn opened(&self, arguments: &str) -> Option<String> {
        let (_, rest) = arguments.split_once('<')?;
        let end = rest.find('>')?;
        if rest[end..].starts_with(">(deleted)") {
            return None;
        }
        self.lasting(&plain(&rest[..end]))
    }

    /// The file of the data folder that the call names.
    fn named(&self, arguments: &str, which: usize) -> Option<String> {
        let name = arguments.split('"').nth(2 * which + 1)?;
        self.lasting(&plain(name))
    }

    fn is_database(&self, arguments: &str) -> bool {
        let named = self.named(arguments, 0);
        named.is_some_and(|name| name.starts_with("runyard.db"))
    }

    /// SQLite's index of its log is memory that all its users share, and made anew from the log where nobody has it.
    fn lasting(&self, path: &str) -> Option<String> {
        if Path::new(&self.folder).parent() == Some(Path::new(path)) {
            return Some("..".to_owned());
        }
        let name = path.strip_prefix(&self.folder)?;
        let is_memory = name.ends_with("-shm") || name.ends_with(".lock");
        (!is_memory).then(|| name.trim_start_matches('/').to_owned())
    }

    fn peer(&self, arguments: &str) -> Option<String> {
        let (_, rest) = arguments.split_once('<')?;
        let end = rest.find("]>")?;
        let socket = plain(&rest[..end]);
        socket.strip_prefix(&self.socket).map(str::to_owned)
    }
}

/// What was done to an open file.
fn done(name: &str, file: String, arguments: &str, bytes: Vec<u8>) -> Option<Deed> {
    let number = || {
        let last = arguments.rsplit(", ").next();
        last.and_then(|last| last.parse().ok()).expect("a number")
    };
    match name {
        "fdatasync" | "fsync" => Some(Deed::Sync(file)),
        "ftruncate" => Some(Deed::Resize(file, number())),
        "write" | "pwrite64" => {
            let at = (name == "pwrite64").then(number);
            Some(Deed::Write { file, at, bytes })
        }
        _ => panic!("{name} of {file} is not known here"),
    }
}

/// Every string of the call, one behind the other.
fn bytes(arguments: &str) -> Vec<u8> {
    let strings = arguments.split('"').skip(1).step_by(2);
    strings.flat_map(unescaped).collect()
}

fn plain(text: &str) -> String {
    String::from_utf8(unescaped(text)).expect("names are text")
}

/// strace was told to write every byte of a string as `\x2f`.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte - b'a' + 10,
    };
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' && text.get(at + 1) == Some(&b'x') {
            bytes.push(digit(text[at + 2]) << 4 | digit(text[at + 3]));
            at += 4;
        } else {
            bytes.push(text[at]);
            at += 1;
        }
    }
    bytes
}
