//! How much of a frame is believed.

/// Bounds on what a server may make us read. A frame beyond one of them is a protocol error, found without reading the
/// rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of a frame on the wire, in bytes.
    pub frame_bytes: usize,
    /// Size of a frame after decompression, in bytes.
    pub decompressed_bytes: usize,
    /// Nesting of arrays and objects in a value that is kept, at most 100.
    pub depth: usize,
}

impl Default for Limits {
    /// 64 MiB, 256 MiB, 64 levels: far above what a page of a snapshot takes, far below what a machine has.
    fn default() -> Self {
        Self { frame_bytes: 64 << 20, decompressed_bytes: 256 << 20, depth: 64 }
    }
}
