//! Child processes that end when xtask is told to end; knows signals, not what it runs.

use anyhow::{Context, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Between asking a child that is late to end and making it.
const GRACE: Duration = Duration::from_secs(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

static OVERTIME: AtomicBool = AtomicBool::new(false);

/// Process group of the child that the main thread waits for.
static FOREGROUND: Mutex<Option<u32>> = Mutex::new(None);

/// From now on Ctrl-C and its kin end the running child instead of xtask, which then cleans up
/// and leaves by itself.
pub fn watch_signals() -> anyhow::Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            // A second signal means that asking politely did not help.
            let again = INTERRUPTED.swap(true, Ordering::SeqCst);
            end_foreground(if again { "KILL" } else { "TERM" });
        }
    });
    Ok(())
}

/// Whether a signal has asked xtask to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Ends every child that `work` waits for once the time is up, which fails it: nothing here may hang for ever.
pub fn within<T>(limit: Duration, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    OVERTIME.store(false, Ordering::SeqCst);
    let (over, waiting) = mpsc::channel::<()>();
    let done = thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                OVERTIME.store(true, Ordering::SeqCst);
                end_foreground("TERM");
                if waiting.recv_timeout(GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    end_foreground("KILL");
                }
            }
        });
        let done = work();
        drop(over);
        done
    });
    if OVERTIME.swap(false, Ordering::SeqCst) {
        let minutes = limit.as_secs() / 60;
        bail!("it was ended: it took longer than {minutes} minutes, so something in it hangs");
    }
    done
}

/// Runs `command` to its end in a process group of its own, so that a signal reaches its whole
/// family; without input, since nothing here asks questions.
///
/// Fails if the program cannot be started or a signal arrived, not if it exits non-zero.
pub fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    run_with(command, |_| ())
}

/// [`run`], with `attend` called on the started child before the wait for its end; it must return
/// while the child runs.
pub fn run_with(
    command: &mut Command,
    attend: impl FnOnce(&mut Child),
) -> anyhow::Result<ExitStatus> {
    if interrupted() {
        bail!("interrupted");
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    set_foreground(Some(child.id()));
    if interrupted() {
        end_foreground("TERM");
    }
    attend(&mut child);
    let status = child.wait();
    // What it left running would hold its output open, or a port that the next stage needs.
    end_foreground("KILL");
    set_foreground(None);
    if interrupted() {
        bail!("interrupted");
    }
    status.with_context(|| format!("lost {program}"))
}

/// [`run`], with what the child writes to its standard output; what it writes beside is kept back unless that is asked
/// for by the command.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let mut said = Ok(Vec::new());
    command.stdout(Stdio::piped());
    thread::scope(|scope| {
        run_with(command, |child| {
            let mut output = child
                .stdout
                .take()
                .expect("the output was asked for as a pipe");
            let said = &mut said;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                *said = output.read_to_end(&mut bytes).map(|_| bytes);
            });
        })
    })?;
    let said = said.context("the output of a child could not be read")?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// `cargo` as the user's own shell would run it.
///
/// `cargo run` leaves variables that describe xtask's package. Build scripts that watch them would
/// run again under xtask and again outside it, and rebuild everything above them each time.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Sends `signal` (a name without `SIG`) to a process, or to a group given as a negative number.
pub fn signal(target: &str, signal: &str) {
    // The standard library can only kill; a failure means that the target is gone already.
    let _ = Command::new("kill")
        .args(["-s", signal, "--", target])
        .stderr(Stdio::null())
        .status();
}

fn set_foreground(group: Option<u32>) {
    *FOREGROUND.lock().expect("no holder of this lock can panic") = group;
}

fn end_foreground(name: &str) {
    let group = *FOREGROUND.lock().expect("no holder of this lock can panic");
    if let Some(group) = group {
        signal(&format!("-{group}"), name);
    }
}
