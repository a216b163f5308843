//! Bodies of requests and answers as they stand on the wire, apart from the values inside, so that a rename there
//! changes no client.

pub mod agents;
pub mod approvals;
pub mod audit;
pub mod cursor;
pub mod events;
pub mod gates;
pub mod grants;
pub mod journal;
pub mod keys;
pub mod lanes;
pub mod principal;
pub mod responses;
pub mod results;
pub mod runs;
pub mod sessions;
pub mod steps;
pub mod threads;
pub mod usage;
pub mod whoami;

use serde::{Deserialize, Deserializer};

/// Text that may be taken away: absent leaves it, `null` removes it.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
