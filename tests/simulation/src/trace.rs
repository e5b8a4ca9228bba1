//! What happened, as lines: hashed always, so that two runs can be compared, and printed on request.

use std::fmt::{self, Write};
use std::time::Duration;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    lines: u64,
    print: bool,
}

impl Trace {
    /// An empty trace. `print`: to standard output as well.
    pub fn new(print: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), lines: 0, print }
    }

    /// Adds a line.
    pub fn line(&mut self, now: Duration, line: fmt::Arguments<'_>) {
        // Writing into a hash can not fail.
        let _ = write!(self.hash, "{} {line}", now.as_nanos());
        self.lines += 1;
        if self.print {
            println!("{:>10.3} {line}", now.as_secs_f64() * 1e3);
        }
    }

    /// Equal for equal traces.
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// FNV-1a.
#[derive(Debug)]
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
