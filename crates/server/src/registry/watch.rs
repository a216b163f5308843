//! Notices when agents' files change. Notifications of the system are hints; a slow look at the folder is the net
//! beneath them, for file systems that send none.

use super::{Changes, Registry};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// Editors write a file in several steps; they are over by then.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Between looks where the system notifies.
const NET: Duration = Duration::from_secs(15);
/// Between looks where it does not.
const POLL: Duration = Duration::from_secs(2);

/// Keeps the registry as the folder is, until `stop`.
pub async fn watch(registry: Arc<Registry>, stop: CancellationToken) {
    let (hint, mut hints) = mpsc::channel(1);
    // Held until the end: dropping the watcher ends the notifications.
    let watcher = match notifications(&registry, hint) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "the system does not tell of changed agent files; looking every {} s",
                POLL.as_secs()
            );
            None
        }
    };
    let mut tick = interval(if watcher.is_some() { NET } else { POLL });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
            Some(()) = hints.recv() => {
                sleep(DEBOUNCE).await;
                // What came meanwhile is covered by the look that follows.
                let _ = hints.try_recv();
            }
        }
        look(&registry).await;
    }
}

fn notifications(
    registry: &Registry,
    hint: mpsc::Sender<()>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let matters = event.map_or(true, |event| !event.kind.is_access());
        if matters {
            // Full means that a look is due anyway.
            let _ = hint.try_send(());
        }
    })?;
    watcher.watch(registry.folder(), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

async fn look(registry: &Arc<Registry>) {
    let looking = registry.clone();
    let changes = tokio::task::spawn_blocking(move || looking.reload()).await;
    match changes {
        Ok(changes) => log(&changes),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the look at the agents' folder failed"
        ),
    }
}

/// Tells of every change once.
pub fn log(changes: &Changes) {
    for agent_type in &changes.loaded {
        tracing::info!(agent.r#type = %agent_type, "agent loaded");
    }
    for agent_type in &changes.removed {
        tracing::info!(agent.r#type = %agent_type, "agent removed");
    }
    for problem in &changes.problems {
        match &problem.serving {
            Some(version) => {
                tracing::error!(agent.version = %version, "{problem}; its last good version goes on serving");
            }
            None => tracing::error!("{problem}"),
        }
    }
}
