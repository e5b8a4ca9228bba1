//! Texts in what servers say.

/// What is looked for in what servers say.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) counted: Vec<(String, u64)>,
    /// The text, and how often it is still to come up to the one that is cut.
    pub(crate) cut_before: Option<(String, u64)>,
}

impl Texts {
    /// Looks for the texts in what a server says, of which the first `old` bytes have passed before. Returns where to
    /// cut, counted from there.
    pub(crate) fn look(&mut self, bytes: &[u8], old: usize) -> Option<usize> {
        for (text, times) in &mut self.counted {
            *times += places(bytes, old, text).count() as u64;
        }
        let (text, left) = self.cut_before.as_mut()?;
        let found: Vec<usize> =
            places(bytes, old, text).take(usize::try_from(*left).unwrap_or(usize::MAX)).collect();
        *left -= found.len() as u64;
        if *left > 0 {
            return None;
        }
        self.cut_before = None;
        found.last().map(|place| place.saturating_sub(old))
    }
}

/// Where `text` is in `bytes`, unless all of it is within the first `old`.
fn places(bytes: &[u8], old: usize, text: &str) -> impl Iterator<Item = usize> {
    let text = text.as_bytes();
    let from = (old + 1).saturating_sub(text.len());
    (from..bytes.len()).filter(move |&at| bytes[at..].starts_with(text))
}
