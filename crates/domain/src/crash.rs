//! Named crash points: places where a test may kill the process to prove that nothing is lost there.
//! Compiled to nothing in release builds.

/// Every crash point in the program, in the order of one run. A sweep kills at each; a point that is passed but not
/// listed here fails in a debug build.
pub const POINTS: &[&str] = &[
    "thread.before_create",
    "thread.after_create",
    "run.before_create",
    "run.after_create",
    "turn.before_call",
    "turn.first_token",
    "turn.mid_stream",
    "turn.after_stream",
    "turn.before_commit",
    "turn.after_commit",
    "tool.before_dispatch_commit",
    "tool.after_dispatch_commit",
    "tool.before_send",
    "tool.after_effect",
    "tool.before_settle_commit",
    "tool.after_settle_commit",
    "run.before_final_commit",
    "run.after_final_commit",
    "cancel.before_commit",
    "cancel.after_commit",
    "approval.before_commit",
    "approval.after_commit",
    "session.before_call_commit",
    "session.after_call_commit",
    "session.before_answer",
    "session.before_complete_commit",
    "session.after_complete_commit",
    "response.before_commit",
    "response.after_commit",
    "idempotency.before_commit",
    "idempotency.after_commit",
    "recovery.after_claim",
    "recovery.before_commit",
    "recovery.after_commit",
    "store.before_begin",
    "store.before_commit",
    "store.after_commit",
    "stream.before_first_frame",
    "stream.after_first_frame",
    "drain.begun",
    "drain.before_release",
];

/// Aborts the process here if the environment variable `FAILPOINTS` says so for `name` (syntax of the `fail` crate, with
/// the action `return`, e.g. `turn.mid_stream=3*off->return`), or stops it, to be continued, with `return(stop)`.
#[inline]
pub fn crash_point(name: &'static str) {
    #[cfg(debug_assertions)]
    {
        debug_assert!(POINTS.contains(&name), "crash point {name} is not listed");
        fail::fail_point!(name, |how| fall(how.as_deref()));
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
fn fall(how: Option<&str>) {
    if how != Some("stop") {
        std::process::abort();
    }
    let own = std::process::id().to_string();
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &own])
        .status();
    assert!(
        stopped.is_ok_and(|status| status.success()),
        "the process can stop itself"
    );
    // The signal may take a moment to reach every thread; this one must not run on meanwhile.
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// The number that a test sets in the place of one of the program's own, with `FAILPOINTS` and the action `return`, e.g.
/// `store.checkpoint_pages=return(40)`. Always `None` in release builds.
#[inline]
pub fn dialled(name: &'static str) -> Option<u32> {
    #[cfg(debug_assertions)]
    fail::fail_point!(name, |number| number?.parse().ok());
    #[cfg(not(debug_assertions))]
    let _ = name;
    None
}

/// Reads `FAILPOINTS`; the binary calls it once at its start. Does nothing in release builds.
pub fn arm() {
    #[cfg(debug_assertions)]
    std::mem::forget(fail::FailScenario::setup());
}
