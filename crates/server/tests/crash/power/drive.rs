//! A disk drive that keeps what it was told to sync and of the rest whatever it likes, sector by sector.
//!
//! What it may do is what POSIX allows and drives do: until a sync of the file has come back, each sector may have any of
//! the contents that the system's cache had since the last one, in no order, and the file any of its lengths; until a
//! sync of the folder has come back, each name may be there or not.

use super::trace::{Deed, Moment};
use proof::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};

/// What a drive writes whole or not at all. Many of today's write 4 KiB at once; what stands the tearing of these also
/// stands that.
const SECTOR: usize = 512;

/// What became of what was not synced.
#[derive(Debug, Clone, Copy)]
pub enum Luck {
    Nothing,
    Everything,
    Dice,
}

/// The files of the folder as a start finds them.
pub type Image = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub struct Drive {
    files: Vec<File>,
    /// Names as the running system sees them.
    live: BTreeMap<String, usize>,
    names: BTreeMap<String, Option<usize>>,
    /// Since the folder was synced.
    renamed: Vec<(String, Option<usize>)>,
    renamed_before: usize,
    /// The folder was made, and the one around it has not been synced since.
    settling: bool,
    syncs: BTreeMap<usize, Sync>,
    writes: BTreeMap<usize, (usize, usize)>,
    /// Says that it synced, and did not.
    pub lies: bool,
}

/// How many changes of what a sync that is under way covers.
enum Sync {
    File(usize, usize),
    Names(usize),
    Folder,
}

#[derive(Default)]
struct File {
    kept: Vec<u8>,
    size: usize,
    changes: Vec<Change>,
    /// Changes that are part of `kept`.
    before: usize,
}

struct Change {
    what: What,
    ended: bool,
}

enum What {
    Bytes(usize, Vec<u8>),
    Size(usize),
}

impl Drive {
    pub fn take(&mut self, moment: &Moment) {
        match moment {
            Moment::Begins(call, deed) => self.begin(*call, deed),
            Moment::Ends(call) => self.end(*call),
        }
    }

    fn begin(&mut self, call: usize, deed: &Deed) {
        match deed {
            Deed::Settle => self.settling = true,
            Deed::Make(name) => {
                if !self.live.contains_key(name) {
                    self.files.push(File::default());
                    self.name(name, Some(self.files.len() - 1));
                }
            }
            Deed::Unlink(name) => self.name(name, None),
            Deed::Rename(from, to) => {
                let file = self.live.get(from).copied();
                self.name(to, file);
                self.name(from, None);
            }
            Deed::Link(from, to) => self.name(to, self.live.get(from).copied()),
            Deed::Write { file, at, bytes } => {
                let file = self.live[file];
                let at = at.unwrap_or(self.files[file].size);
                self.change(call, file, What::Bytes(at, bytes.clone()));
            }
            Deed::Resize(file, size) => self.change(call, self.live[file], What::Size(*size)),
            Deed::Sync(_) if self.lies => {}
            Deed::Sync(name) => {
                let sync = match name.as_str() {
                    ".." => Sync::Folder,
                    "" => Sync::Names(self.renamed_before + self.renamed.len()),
                    _ => {
                        let file = self.live[name];
                        Sync::File(file, self.files[file].covered())
                    }
                };
                self.syncs.insert(call, sync);
            }
            Deed::Hear(..) | Deed::Tell(..) => {}
        }
    }

    fn name(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.live.insert(name.to_owned(), file),
            None => self.live.remove(name),
        };
        self.renamed.push((name.to_owned(), file));
    }

    fn change(&mut self, call: usize, file: usize, what: What) {
        let changed = &mut self.files[file];
        changed.size = what.size(changed.size);
        self.writes
            .insert(call, (file, changed.before + changed.changes.len()));
        changed.changes.push(Change { what, ended: false });
    }

    fn end(&mut self, call: usize) {
        if let Some((file, number)) = self.writes.remove(&call) {
            let file = &mut self.files[file];
            if let Some(at) = number.checked_sub(file.before) {
                file.changes[at].ended = true;
            }
        }
        match self.syncs.remove(&call) {
            Some(Sync::Folder) => self.settling = false,
            Some(Sync::Names(covered)) => {
                let count = covered.saturating_sub(self.renamed_before);
                self.renamed_before += count;
                self.names.extend(self.renamed.drain(..count));
            }
            Some(Sync::File(file, covered)) => self.files[file].keep(covered),
            None => {}
        }
    }

    /// What is there after the power has failed at this moment.
    pub fn image(&self, luck: Luck, dice: &Dice) -> Image {
        if self.settling && luck.choose(2, dice) == 0 {
            return Image::new();
        }
        let named: BTreeSet<&String> = self.names.keys().chain(self.live.keys()).collect();
        let files = named.into_iter().filter_map(|name| {
            let file = &self.files[self.named(name, luck, dice)?];
            Some((name.clone(), file.image(luck, dice)))
        });
        files.collect()
    }

    fn named(&self, name: &str, luck: Luck, dice: &Dice) -> Option<usize> {
        let mut choices = vec![self.names.get(name).copied().flatten()];
        let later = self.renamed.iter().filter(|(renamed, _)| renamed == name);
        choices.extend(later.map(|(_, file)| *file));
        choices[luck.choose(choices.len(), dice)]
    }
}

impl Luck {
    /// One of so many states, from the last synced to the newest.
    fn choose(self, states: usize, dice: &Dice) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => states - 1,
            Self::Dice => dice.index(states),
        }
    }
}

impl What {
    fn size(&self, before: usize) -> usize {
        match self {
            Self::Bytes(at, bytes) => before.max(at + bytes.len()),
            Self::Size(size) => *size,
        }
    }

    fn apply(&self, cache: &mut Vec<u8>) {
        cache.resize(self.size(cache.len()), 0);
        if let Self::Bytes(at, bytes) = self {
            cache[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The sectors that it makes dirty.
    fn sectors(&self) -> std::ops::Range<usize> {
        match self {
            Self::Bytes(at, bytes) => at / SECTOR..(at + bytes.len()).div_ceil(SECTOR),
            Self::Size(_) => 0..0,
        }
    }
}

impl File {
    /// What a sync that begins now makes sure of.
    fn covered(&self) -> usize {
        let ended = self.changes.iter().take_while(|change| change.ended);
        self.before + ended.count()
    }

    fn keep(&mut self, covered: usize) {
        let count = covered.saturating_sub(self.before);
        for change in self.changes.drain(..count) {
            change.what.apply(&mut self.kept);
        }
        self.before += count;
    }

    fn image(&self, luck: Luck, dice: &Dice) -> Vec<u8> {
        let mut contents: BTreeMap<usize, usize> = BTreeMap::new();
        let mut sizes = vec![self.kept.len()];
        for change in &self.changes {
            for sector in change.what.sectors() {
                *contents.entry(sector).or_insert(1) += 1;
            }
            sizes.push(change.what.size(sizes[sizes.len() - 1]));
        }
        // Which of its contents each sector has: 0 is the synced one.
        let chosen: BTreeMap<usize, usize> = contents
            .into_iter()
            .map(|(sector, count)| (sector, luck.choose(count, dice)))
            .collect();
        let mut image = self.kept.clone();
        image.resize(sizes.iter().copied().max().unwrap_or(0), 0);
        let mut cache = self.kept.clone();
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        for change in &self.changes {
            change.what.apply(&mut cache);
            for sector in change.what.sectors() {
                let count = reached.entry(sector).or_insert(0);
                *count += 1;
                if chosen.get(&sector) == Some(count) {
                    let from = sector * SECTOR;
                    let to = (from + SECTOR).min(cache.len());
                    image[from..to].copy_from_slice(&cache[from..to]);
                }
            }
        }
        // A length that leaves nothing off shows more of what was torn.
        let newest = matches!(luck, Luck::Dice) && dice.roll(2) == 0;
        let size = if newest {
            sizes.len() - 1
        } else {
            luck.choose(sizes.len(), dice)
        };
        image.resize(sizes[size], 0);
        image
    }
}
