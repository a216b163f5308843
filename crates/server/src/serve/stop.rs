//! A running server and its end: no new work, streams told to resume, runs brought to a good place or handed over, and
//! everything written before the process goes.

use super::folder;
use super::signals::Signals;
use crate::config::Settings;
use domain::ports::store::Store;
use engine::Engine;
use std::error::Error;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub struct Running {
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub server: JoinHandle<()>,
    /// Pulled at the beginning of the end.
    pub stop: CancellationToken,
    /// Pulled once no run is at work.
    pub drained: CancellationToken,
    /// Ends once both are pulled.
    pub tasks: TaskTracker,
}

impl Running {
    /// Waits for the first request to stop, `meanwhile` at work, then stops. A second request leaves at once.
    pub async fn until_stopped(
        self,
        settings: &Settings,
        mut signals: Signals,
        meanwhile: impl Future<Output = ()>,
    ) -> ExitCode {
        tokio::select! {
            () = signals.next() => {}
            () = meanwhile => {}
        }
        tracing::info!("stopping: no new runs; those at work may reach a good place");
        let in_good_order = tokio::select! {
            ok = self.stop(settings.limits.drain()) => ok,
            () = signals.next() => {
                tracing::warn!("told to stop twice: leaving at once; the next start goes on with the runs");
                false
            }
        };
        folder::retract(settings);
        if in_good_order {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    async fn stop(self, limit: Duration) -> bool {
        self.stop.cancel();
        let drained = self.engine.drain(limit).await;
        if let Err(error) = &drained {
            let error = error as &dyn Error;
            tracing::error!(
                error,
                "the drain failed; the next start goes on with the runs"
            );
        }
        self.drained.cancel();
        if let Err(error) = self.server.await {
            let error = &error as &dyn Error;
            tracing::error!(error, "the HTTP server ended badly");
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.store.close().await;
        drained.is_ok()
    }
}
