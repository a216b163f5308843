//! The HTTP surface as its callers see it: the real routes in process, a real engine, real stores and a scripted model.
//! Every test runs on SQLite and on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing where something must be fails right there"
)]

mod agents;
mod approvals;
mod audit;
mod auth;
mod bodies;
mod client;
mod clock;
mod conforms;
mod errors;
mod forks;
mod fuzz;
mod gates;
mod grants;
mod hostile;
mod hosts;
mod idempotency;
mod journal;
mod keys;
mod lanes;
mod listen;
mod metrics;
mod openapi;
mod operations;
mod rates;
mod responses;
mod results;
mod roles;
mod runs;
mod scratch;
mod server_tools;
mod session_matrix;
mod sessions;
mod sign_in;
mod streams;
mod tenancy;
mod threads;
mod usage;
mod world;

/// Makes a test of each function, on each store.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                $crate::world::run($crate::scratch::Database::Sqlite, super::$name);
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                $crate::world::run($crate::scratch::Database::Postgres, super::$name);
            })*
        }
    };
}
pub(crate) use on_both_stores;
