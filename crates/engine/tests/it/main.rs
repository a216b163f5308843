//! The engine on real stores, with a scripted model and counting tools. Every test runs on SQLite and on PostgreSQL.

mod approvals;
mod busy;
mod cluster;
mod crashes;
mod fakes;
mod grants;
mod infer;
mod journal;
mod leases;
mod lost_answers;
mod metered;
mod races;
mod rounds;
mod runs;
mod sessions;
mod world;

/// Makes a test of each function, on each store.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                $crate::world::run($crate::world::Database::Sqlite, super::$name);
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                $crate::world::run($crate::world::Database::Postgres, super::$name);
            })*
        }
    };
}
pub(crate) use on_both_stores;
