//! Rows materialised from the frames of a live query: keyed, ordered, capped, with the differences between two looks.
//!
//! [`LiveView`] is pure: it is fed with what a subscription brings and read by one reader. It knows no connection, no
//! clock and no protocol. Each change costs O(log n); taking [`Rows`] costs O(1) and one step for each change since.

pub(crate) mod compare;
mod correct;
mod digest;
mod key_index;
mod layout;
mod loading;
mod options;
mod order_by;
mod pending;
mod row_set;
mod rows;
mod sort;
mod taking;
mod tree;
mod version;
mod view;

pub use correct::{Correction, HeldRow};
pub use digest::Digest;
pub use options::LiveOptions;
pub use order_by::OrderBy;
pub use rows::{Change, Changes, IntoIter, Iter, Phase, Rows};
pub use taking::Lifted;
pub use view::{Begin, LiveView};

#[cfg(test)]
mod tests;
