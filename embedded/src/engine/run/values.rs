//! What `?n` stand for when a statement runs.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::engine::{
    Caller, Cell, DataType, Inner, SqlError, Upload, convert, error::SqlResult, sql::typed::Bind, system,
};

/// The values of one request.
pub(crate) struct Values<'a> {
    /// Absent in live queries, which read no system tables.
    pub(crate) engine: Option<&'a Inner>,
    pub(crate) caller: &'a Caller,
    pub(crate) params: &'a [Json],
    pub(crate) files: &'a [Upload],
    /// One moment for the whole statement, in microseconds since the epoch.
    pub(crate) now: i64,
}

impl<'a> Values<'a> {
    pub(crate) fn new(
        engine: &'a Inner,
        caller: &'a Caller,
        params: &'a [Json],
        files: &'a [Upload],
        now: i64,
    ) -> Self {
        Self { engine: Some(engine), caller, params, files, now }
    }

    /// The file that came under this name.
    pub(crate) fn upload(&self, name: &str) -> SqlResult<&Upload> {
        self.files.iter().find(|file| file.placeholder == name).ok_or_else(|| missing_file(name))
    }

    pub(crate) fn get<'b>(&self, bind: &'b Bind) -> SqlResult<Cow<'b, Cell>> {
        Ok(match bind {
            Bind::Cell(cell) => Cow::Borrowed(cell),
            Bind::Param { index, data_type } => Cow::Owned(self.param(*index, *data_type)?),
            Bind::Now => Cow::Owned(Cell::Timestamp(self.now)),
            Bind::CurrentUser => Cow::Owned(Cell::Text(self.caller.user.clone())),
            Bind::System(table) => match self.engine {
                Some(engine) => Cow::Owned(Cell::Text(system::as_json(*table, engine, self.caller).into())),
                None => return Err(SqlError::internal("a system table in a live query")),
            },
            Bind::Column(_) => return Err(SqlError::internal("a live filter outside a live query")),
        })
    }

    pub(crate) fn param(&self, index: usize, data_type: DataType) -> SqlResult<Cell> {
        // Planning has checked that the parameter is there.
        let value = self.params.get(index - 1).unwrap_or(&Json::Null);
        convert::from_json(value, data_type).map_err(|e| SqlError::parameter(index, e.0))
    }
}

pub(crate) fn missing_file(name: &str) -> SqlError {
    SqlError::new(
        "MISSING_FILE",
        400,
        format!("FILE(\"{name}\") needs a part 'file:{name}' in a multipart request"),
    )
}
