//! No test waits for ever: one that hangs ends, and says that it hangs.

use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// Several times what the slowest test takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// The work's result, which must come in time. Servers that the work started are killed with it.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    let done = timeout(limit, work).await;
    done.unwrap_or_else(|_| panic!("the test hangs: it is not over after {limit:?}"))
}
