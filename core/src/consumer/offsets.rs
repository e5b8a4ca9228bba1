//! A set of offsets, as ranges: consumers finish mostly in order, so there are few.

use std::collections::BTreeMap;

/// Offsets by ranges that neither touch nor overlap: start to end, exclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets(BTreeMap<u64, u64>);

impl Offsets {
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    pub(super) fn contains(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Returns whether it was new.
    pub(super) fn insert(&mut self, offset: u64) -> bool {
        let (mut start, mut end) = (offset, offset + 1);
        if let Some((before, until)) = self.0.range(..=offset).next_back().map(|(s, e)| (*s, *e)) {
            if until > offset {
                return false;
            }
            if until == offset {
                start = before;
            }
        }
        if let Some(until) = self.0.remove(&end) {
            end = until;
        }
        self.0.insert(start, end);
        true
    }

    pub(super) fn remove(&mut self, offset: u64) {
        let Some((start, end)) = self.0.range(..=offset).next_back().map(|(s, e)| (*s, *e)) else { return };
        if offset >= end {
            return;
        }
        self.0.remove(&start);
        if start < offset {
            self.0.insert(start, offset);
        }
        if offset + 1 < end {
            self.0.insert(offset + 1, end);
        }
    }

    /// Forgets everything before `offset`.
    pub(super) fn remove_before(&mut self, offset: u64) {
        while let Some((start, end)) = self.0.first_key_value().map(|(s, e)| (*s, *e)) {
            if start >= offset {
                return;
            }
            self.0.remove(&start);
            if end > offset {
                self.0.insert(offset, end);
            }
        }
    }

    /// Where the range ends that begins exactly at `start`, or that `start` is in.
    pub(super) fn end_of_run(&self, start: u64) -> Option<u64> {
        self.0.range(..=start).next_back().map(|(_, end)| *end).filter(|end| *end > start)
    }

    /// After the greatest.
    pub(super) fn start(&self) -> Option<u64> {
        self.0.first_key_value().map(|(start, _)| *start)
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, end)| *end)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::machine::Random;

    #[test]
    fn is_a_set() {
        let mut random = Random::new(3);
        let mut below = |n: u64| random.up_to(std::time::Duration::from_nanos(n - 1)).as_nanos() as u64;
        for _ in 0..200 {
            let (mut ours, mut model) = (Offsets::default(), BTreeSet::new());
            for _ in 0..60 {
                let offset = below(24);
                match below(8) {
                    0..5 => assert_eq!(ours.insert(offset), model.insert(offset)),
                    5..7 => {
                        ours.remove(offset);
                        model.remove(&offset);
                    }
                    _ => {
                        ours.remove_before(offset / 2);
                        model.retain(|o| *o >= offset / 2);
                    }
                }
                assert_eq!(ours.len(), model.len() as u64);
                assert_eq!(ours.end(), model.last().map(|o| o + 1));
                for offset in 0..24 {
                    assert_eq!(ours.contains(offset), model.contains(&offset));
                    let run = (offset..).take_while(|o| model.contains(o)).last().map(|o| o + 1);
                    assert_eq!(ours.end_of_run(offset), run);
                }
            }
        }
    }
}
