//! What crosses the border: rows as bytes that a language reads in place. Read by `ts/decode.ts` of the Node.js package, by
//! `Decoder.kt` and by `Decoder.swift`.
//!
//! ```text
//! words     u32: kind, flags, rows that follow in all, rows in this packet, columns, words of lists, bytes of text,
//!           bytes of blobs; then the lists of the kind; padded to 8 bytes
//! rows      one tag of a byte a column, padded to 8 bytes; one slot of 8 bytes a column
//! text      what tags of text point to, as UTF-8; padded to 8 bytes
//! blobs     what tags of blobs point to
//! ```
//!
//! Numbers have the byte order of the machine. A slot holds a double, a 64-bit integer, or offset and length (u32 each)
//! in the text or the blobs.

use std::fmt::Write;
use std::sync::Arc;

use kalam_live::{DataType, Row, Schema, Value};
use serde::Serialize;

/// The first word of a packet.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Kind {
    /// The result of a call, as JSON. Lists: a note.
    Json = 1,
    /// The rows of a query. Lists: row count (a double), message (a note), whether truncated.
    Query = 2,
    /// All rows of a snapshot. Lists: last_seq_id (two words; -1: none), phase, checkpoint (a note), then for each row its place in the rows before
    /// + 1, or 0 if it follows; nothing when all follow.
    Reset = 3,
    /// The changes to the rows before. Lists: last_seq_id, phase, checkpoint, numbers of removals, insertions and updates, and the
    /// places of each. The rows of insertions and updates follow.
    Changes = 4,
    /// Events. Lists: fourteen words an event. Their rows follow, and then their old rows, event by event.
    Events = 5,
    /// Records of a topic, each with the columns of its row after its own. No lists.
    Records = 6,
}

/// A bit of the second word: the columns are not those of the packet before.
const NEW_COLUMNS: u32 = 1;

/// The kind of a cell. Two that are neighbours differ in whether the text is ASCII.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const NUMBER: u8 = 3;
    pub(super) const BIGINT: u8 = 4;
    pub(super) const TIMESTAMP: u8 = 5;
    pub(super) const TEXT: u8 = 6;
    pub(super) const JSON: u8 = 8;
    pub(super) const BYTES: u8 = 10;
    pub(super) const EMBEDDING: u8 = 11;
    /// Of an old row: the column did not change.
    pub(super) const ABSENT: u8 = 12;
    /// A number that is whole and fits into 32 bits, in the first half of the slot: JavaScript needs no memory for it.
    pub(super) const INTEGER: u8 = 13;
    // Of `Cells::Typed` only, where JavaScript has texts.
    pub(super) const DECIMAL: u8 = 14;
    pub(super) const FILE: u8 = 16;
    pub(super) const DATE: u8 = 18;
    pub(super) const TIME: u8 = 19;
    pub(super) const UUID: u8 = 20;
}

/// How cells are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cells {
    /// For JavaScript: integers of up to 32 bits are numbers, dates, times, decimals and UUIDs are text.
    #[default]
    JavaScript,
    /// For languages with types: integers have 64 bits; DECIMAL and FILE, a text and JSON, have tags of their own; DATE and
    /// TIME are days and microseconds, UUID is 16 bytes.
    Typed,
}

/// Rows of one packet: so many that making objects of them takes about a millisecond.
pub(crate) const MOST_ROWS: usize = 1024;
/// Bytes of one packet, about.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// A packet that is being written. One is used again and again.
#[derive(Default)]
pub struct Packet {
    written: Cells,
    kind: u32,
    flags: u32,
    total: u32,
    rows: u32,
    lists: Vec<u32>,
    cells: Vec<u8>,
    text: String,
    blobs: Vec<u8>,
    schema: Option<Arc<Schema>>,
    /// By column, whether its integers have 64 bits.
    big: Vec<bool>,
}

impl Packet {
    /// A packet whose cells are written like this.
    pub fn of(written: Cells) -> Self {
        Self { written, ..Self::default() }
    }

    /// Makes room for the next packet.
    pub fn clear(&mut self) {
        (self.flags, self.total, self.rows) = (0, 0, 0);
        self.lists.clear();
        self.cells.clear();
        self.text.clear();
        self.blobs.clear();
    }

    /// Begins a packet, of `total` rows together with those that follow it.
    pub(crate) fn begin(&mut self, kind: Kind, total: usize) {
        self.kind = kind as u32;
        self.total = u32::try_from(total).unwrap_or(u32::MAX);
    }

    /// The rows that come have these columns. To be told before the first row of each `take`.
    pub(crate) fn columns_are(&mut self, schema: &Arc<Schema>) {
        if !self.has_columns(schema) {
            let big = |column: &kalam_live::Column| column.data_type == DataType::BigInt;
            self.big = schema.columns().iter().map(big).collect();
            self.schema = Some(schema.clone());
            self.flags |= NEW_COLUMNS;
        }
    }

    /// Whether the rows of this packet have these columns.
    pub(crate) fn has_columns(&self, schema: &Arc<Schema>) -> bool {
        self.schema.as_ref().is_some_and(|own| Arc::ptr_eq(own, schema))
    }

    /// Whether no more rows should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.rows as usize >= MOST_ROWS || self.cells.len() + self.text.len() + self.blobs.len() >= MOST_BYTES
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, values: &[Value]) {
        let mut row = self.begin_row(values.len(), tag::NULL);
        for (column, value) in values.iter().enumerate() {
            self.cell(&mut row, column, value);
        }
    }

    /// Adds a row of which only some columns are known.
    pub(crate) fn partial_row<'a>(&mut self, cells: impl Iterator<Item = (usize, &'a Value)>) {
        let mut row = self.begin_row(self.big.len(), tag::ABSENT);
        for (column, value) in cells {
            self.cell(&mut row, column, value);
        }
    }

    fn begin_row(&mut self, columns: usize, tag: u8) -> RowPlace {
        self.rows += 1;
        let tags = self.cells.len();
        let slots = tags + padded(columns);
        self.cells.resize(tags + columns, tag);
        self.cells.resize(slots + columns * 8, 0);
        RowPlace { tags, slots }
    }

    fn cell(&mut self, row: &mut RowPlace, column: usize, value: &Value) {
        let typed = self.written == Cells::Typed;
        let (tag, slot) = match value {
            Value::Null => (tag::NULL, [0; 8]),
            Value::Boolean(b) => (if *b { tag::TRUE } else { tag::FALSE }, [0; 8]),
            Value::Int(n) if typed || self.big.get(column) == Some(&true) => (tag::BIGINT, n.to_ne_bytes()),
            Value::Int(n) => match i32::try_from(*n) {
                Ok(n) => (tag::INTEGER, first_half(n)),
                Err(_) => (tag::NUMBER, (*n as f64).to_ne_bytes()),
            },
            Value::Float(x) => (tag::NUMBER, x.to_ne_bytes()),
            Value::Timestamp(us) => (tag::TIMESTAMP, us.to_ne_bytes()),
            Value::Text(text) => self.text(tag::TEXT, |out| out.push_str(text)),
            Value::Decimal(digits) => {
                let tag = if typed { tag::DECIMAL } else { tag::TEXT };
                self.text(tag, |out| out.push_str(digits.as_str()))
            }
            Value::Date(days) if typed => (tag::DATE, i64::from(*days).to_ne_bytes()),
            Value::Time(us) if typed => (tag::TIME, us.to_ne_bytes()),
            Value::Uuid(uuid) if typed => self.blob(tag::UUID, |out| out.extend_from_slice(&uuid.0)),
            // Writing to a String can not fail.
            Value::Uuid(_) | Value::Date(_) | Value::Time(_) => self.text(tag::TEXT, |out| {
                let _ = write!(out, "{value}");
            }),
            Value::Json(json) => self.text(tag::JSON, |out| out.push_str(json)),
            Value::File(file) => {
                // Names and a number: nothing that could not be written.
                let json = serde_json::to_string(file).unwrap_or_default();
                self.text(if typed { tag::FILE } else { tag::JSON }, |out| out.push_str(&json))
            }
            Value::Bytes(bytes) => self.blob(tag::BYTES, |out| out.extend_from_slice(bytes)),
            Value::Embedding(numbers) => {
                self.blob(tag::EMBEDDING, |out| out.extend(numbers.iter().flat_map(|x| x.to_ne_bytes())))
            }
        };
        self.cells[row.tags + column] = tag;
        let at = row.slots + column * 8;
        self.cells[at..at + 8].copy_from_slice(&slot);
    }

    fn text(&mut self, tag: u8, write: impl FnOnce(&mut String)) -> (u8, [u8; 8]) {
        let start = self.text.len();
        write(&mut self.text);
        let tag = if self.text.as_bytes()[start..].is_ascii() { tag } else { tag + 1 };
        (tag, span(start, self.text.len()))
    }

    fn blob(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>)) -> (u8, [u8; 8]) {
        let start = self.blobs.len();
        write(&mut self.blobs);
        (tag, span(start, self.blobs.len()))
    }

    /// Adds a word to the lists.
    pub(crate) fn word(&mut self, word: u32) {
        self.lists.push(word);
    }

    /// Adds a number to the lists. They are never as long as would not fit.
    pub(crate) fn number(&mut self, number: usize) {
        self.word(u32::try_from(number).unwrap_or(u32::MAX));
    }

    /// Adds eight bytes as two words to the lists.
    pub(crate) fn two_words(&mut self, bytes: [u8; 8]) {
        let [a, b, c, d, e, f, g, h] = bytes;
        self.word(u32::from_ne_bytes([a, b, c, d]));
        self.word(u32::from_ne_bytes([e, f, g, h]));
    }

    /// Adds text that no cell points to, and to the lists where it begins and its length + 1; 0 if there is none.
    pub(crate) fn note(&mut self, text: Option<&str>) {
        self.number(self.text.len());
        self.number(text.map_or(0, |text| text.len() + 1));
        self.text.push_str(text.unwrap_or_default());
    }

    /// Bytes of the packet.
    #[expect(clippy::len_without_is_empty, reason = "a packet has a head")]
    pub fn len(&self) -> usize {
        self.head() + self.cells.len() + padded(self.text.len()) + self.blobs.len()
    }

    fn head(&self) -> usize {
        padded((8 + self.lists.len()) * 4)
    }

    /// Writes it to a buffer of exactly its length.
    pub fn write(&self, buffer: &mut [u8]) {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let words = [
            self.kind,
            self.flags,
            self.total,
            self.rows,
            length(self.big.len()),
            length(self.lists.len()),
            length(self.text.len()),
            length(self.blobs.len()),
        ];
        let (head, rest) = buffer.split_at_mut(self.head());
        for (place, word) in head.chunks_exact_mut(4).zip(words.iter().chain(&self.lists)) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let (cells, rest) = rest.split_at_mut(self.cells.len());
        cells.copy_from_slice(&self.cells);
        let (text, blobs) = rest.split_at_mut(padded(self.text.len()));
        text[..self.text.len()].copy_from_slice(self.text.as_bytes());
        blobs.copy_from_slice(&self.blobs);
    }

    /// The columns, as JSON.
    pub fn columns(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Column<'a> {
            name: &'a str,
            r#type: String,
            primary_key: bool,
            not_null: bool,
        }
        let columns = self.schema.iter().flat_map(|schema| schema.columns());
        let columns: Vec<Column<'_>> = columns
            .map(|column| Column {
                name: &column.name,
                r#type: column.data_type.to_string(),
                primary_key: column.flags.primary_key,
                not_null: column.flags.not_null,
            })
            .collect();
        serde_json::to_string(&columns).unwrap_or_default()
    }
}

/// Rows of whatever tables as packets, in their order: a packet with the columns of its rows, as JSON, for each run of rows
/// with the same columns.
pub fn pack(rows: &[Row], written: Cells) -> Vec<(String, Vec<u8>)> {
    let mut packet = Packet::of(written);
    let runs = rows.chunk_by(|one, next| Arc::ptr_eq(one.schema(), next.schema()));
    runs.map(|rows| {
        packet.clear();
        packet.begin(Kind::Query, rows.len());
        packet.columns_are(rows[0].schema());
        rows.iter().for_each(|row| packet.row(row.values()));
        let mut bytes = vec![0; packet.len()];
        packet.write(&mut bytes);
        (packet.columns(), bytes)
    })
    .collect()
}

/// Where a row's tags and slots begin.
struct RowPlace {
    tags: usize,
    slots: usize,
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

fn first_half(n: i32) -> [u8; 8] {
    let [a, b, c, d] = n.to_ne_bytes();
    [a, b, c, d, 0, 0, 0, 0]
}

fn span(start: usize, end: usize) -> [u8; 8] {
    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_ne_bytes();
    let ([a, b, c, d], [e, f, g, h]) = (word(start), word(end - start));
    [a, b, c, d, e, f, g, h]
}
