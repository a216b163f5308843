//! A future that comes to its end even if whoever awaits it goes away. It costs a task only then: nearly every request is
//! awaited to its end, and a task for each would be two more switches between threads.

use futures::future::BoxFuture;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::task::TaskTracker;

pub(super) struct Finished<T: Send + 'static> {
    /// `None` once it has ended.
    work: Option<BoxFuture<'static, T>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> Finished<T> {
    /// Dropped before its end, the work goes on as one of `tasks`.
    pub fn new(work: impl Future<Output = T> + Send + 'static, tasks: &TaskTracker) -> Self {
        Self {
            work: Some(Box::pin(work)),
            tasks: tasks.clone(),
        }
    }
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let work = self.work.as_mut().expect("not polled after its end");
        let ended = work.as_mut().poll(cx);
        if ended.is_ready() {
            self.work = None;
        }
        ended
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the work with it.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.tasks.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_ends_although_nobody_awaits_it() {
        let tasks = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut finished = Box::pin(Finished::new(
            async move {
                gone.await.unwrap();
                tell.send(7).unwrap();
            },
            &tasks,
        ));
        assert!(futures::poll!(&mut finished).is_pending());
        drop(finished);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn work_that_is_awaited_needs_no_task() {
        let tasks = TaskTracker::new();
        assert_eq!(Finished::new(async { 7 }, &tasks).await, 7);
        assert!(tasks.is_empty());
    }
}
