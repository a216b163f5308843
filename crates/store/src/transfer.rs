//! What is kept, as rows that either database can read and write: for moving a whole store into another, and one run
//! into a file. It knows tables and columns, and nothing of what they mean.

mod cell;
mod moving;
mod parcel;
mod postgres;
mod sqlite;
pub(crate) mod standing;
mod tables;

#[cfg(test)]
mod tests;

pub use moving::{MoveError, Moved, Progress, Undone, move_store, undo_move};
pub use parcel::{Brought, Parcel, ParcelError, bring_in, take_out};
pub use standing::Standing;
