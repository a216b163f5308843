//! The disk's own rate of syncs: what no server that keeps its word can beat without sharing them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::stats;

/// What is written before each sync.
const BLOCK: [u8; 4096] = [0x5a; 4096];

#[derive(Debug, Clone, Copy)]
pub struct SyncRate {
    pub per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Appends 4 KiB and syncs the data, again and again for about `time`, in a file of its own in `folder`.
pub fn sync_rate(folder: &Path, time: Duration) -> io::Result<SyncRate> {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path)?;
    let begin = Instant::now();
    let mut each = Vec::new();
    while begin.elapsed() < time {
        let start = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        each.push(stats::ms(start.elapsed()));
    }
    let elapsed = begin.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path)?;
    let each = stats::sorted(each);
    let count = each.len() as f64;
    Ok(SyncRate {
        per_s: count / elapsed,
        p50_ms: stats::percentile(&each, 0.5),
        p99_ms: stats::percentile(&each, 0.99),
    })
}
