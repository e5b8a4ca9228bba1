//! What tables there are.

use super::TableId;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
}
