//! Files that only this user may read, each there whole or not at all, also where several servers write one at the same
//! moment. It does not know what is in them.

use crate::clock::SystemClock;
use domain::ports::clock::Clock;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file in the place of what is there. On return it is on disk.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path, bytes)?;
    fs::rename(&draft, path).inspect_err(|_| discard(&draft))?;
    keep_name(path)
}

/// Writes a file where there is none. False if there is one, which is left as it is. On return the file is on disk,
/// whoever wrote it.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let created = create_unkept(path, bytes)?;
    keep_name(path)?;
    Ok(created)
}

/// Syncs the folder around a file or folder: what is synced itself and not named in a synced folder is not found again once
/// the power has failed.
pub fn keep_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    #[cfg(unix)]
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn create_unkept(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let draft = draft(path, bytes)?;
    let linked = fs::hard_link(&draft, path);
    match linked {
        Ok(()) => {
            discard(&draft);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            discard(&draft);
            Ok(false)
        }
        // A file system without links: of two at the same moment the last one's stays.
        Err(_) if !path.exists() => fs::rename(&draft, path)
            .map(|()| true)
            .inspect_err(|_| discard(&draft)),
        Err(_) => {
            discard(&draft);
            Ok(false)
        }
    }
}

/// A file beside it, of a name that nobody else takes: servers in containers have equal process ids.
fn draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", SystemClock.uuid().simple()));
    let draft = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(&draft)?;
    fill(file, bytes).inspect_err(|_| discard(&draft))?;
    Ok(draft)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// What cannot be taken away does no harm.
fn discard(draft: &Path) {
    let _ = fs::remove_file(draft);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    #[cfg(unix)]
    fn private_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.key");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["owner.key"]);
    }

    #[test]
    fn of_many_who_create_a_file_at_once_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.key");
        let texts: Vec<String> = (0..16).map(|index| format!("text {index}")).collect();
        let created: Vec<bool> = std::thread::scope(|scope| {
            let creating: Vec<_> = texts
                .iter()
                .map(|text| scope.spawn(|| create(&path, text.as_bytes()).unwrap()))
                .collect();
            creating
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let first: Vec<&String> = texts
            .iter()
            .zip(created)
            .filter_map(|(text, created)| created.then_some(text))
            .collect();
        assert_eq!(first, [&fs::read_to_string(&path).unwrap()]);
        assert_eq!(names(folder.path()), ["owner.key"]);
    }
}
