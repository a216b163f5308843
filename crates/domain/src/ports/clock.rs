//! Time and new ids.

use crate::Timestamp;
use uuid::Uuid;

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// A new UUIDv7.
    fn uuid(&self) -> Uuid;
}
