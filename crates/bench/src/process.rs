//! Child processes: started, asked what they cost, ended with the value that holds them.

mod found;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

pub use found::Found;

/// Ticks of `/proc/PID/stat` in a second: fixed for user space on Linux (`USER_HZ`).
pub const TICKS_PER_S: f64 = 100.0;
/// Lines of a log that are shown when its process failed.
const LOG_LINES: usize = 20;
/// How long a process may take to end after it was told to.
const END_TIME: Duration = Duration::from_secs(30);

/// A child that is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now.
    pub now: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

impl Process {
    /// Starts it, its output going to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot open a log twice")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Fails with the end of its log if it is not running any more.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot ask for a child")? {
            None => Ok(()),
            Some(status) => anyhow::bail!("it ended: {status}\n{}", self.log_end()),
        }
    }

    /// The last lines of its output.
    pub fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The first line of its output, once it is whole.
    pub fn first_line(&self) -> Option<String> {
        let text = fs::read_to_string(&self.log).ok()?;
        text.split_once('\n').map(|(line, _)| line.to_owned())
    }

    /// Processor time used so far, in seconds; `None` where the system does not tell (no `/proc`).
    pub fn cpu_s(&self) -> Option<f64> {
        cpu_s(&self.child.id().to_string())
    }

    /// `None` where the system does not tell (no `/proc`).
    pub fn memory(&self) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let number = line.trim_start_matches(':').trim().strip_suffix(" kB")?;
            Some(number.trim().parse::<f64>().ok()? * 1024.0)
        };
        Some(Memory {
            now: bytes("VmRSS")?,
            peak: bytes("VmHWM")?,
        })
    }

    /// Tells it to end and waits until it has.
    pub async fn end(mut self) -> anyhow::Result<()> {
        // The standard library can only kill.
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .context("cannot run kill")?;
        let ending = async {
            while self.child.try_wait()?.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<(), std::io::Error>(())
        };
        tokio::time::timeout(END_TIME, ending)
            .await
            .context("it does not end when told to")?
            .context("cannot ask for a child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process itself.
pub fn own_cpu_s() -> Option<f64> {
    cpu_s("self")
}

/// What the system tells of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    parent: u32,
    /// Processor time used so far.
    cpu_s: f64,
    /// That of its children which have ended.
    ended_cpu_s: f64,
}

fn cpu_s(process: &str) -> Option<f64> {
    stat(process).map(|stat| stat.cpu_s)
}

fn stat(process: &str) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The parent is the fourth field, user and system time are the 14th and 15th, those of ended children the two after
/// them; the second, the name, may hold anything (proc(5)).
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut ticks = fields.skip(9).map(str::parse::<f64>);
    let mut both = || Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS_PER_S);
    Some(Stat {
        parent,
        cpu_s: both()?,
        ended_cpu_s: both()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 70 5 20 0 3 0 5 6 7";
        let expected = Stat {
            parent: 1,
            cpu_s: 3.0,
            ended_cpu_s: 0.75,
        };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat("12 (a) S 1"), None);
    }
}
