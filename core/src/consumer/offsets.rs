//! A set of offsets, as ranges: consumers finish mostly in order, so there are few.

use std::collections::VecDeque;
use std::ops::Range;

/// Offsets by ascending ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets(VecDeque<Range<u64>>);

impl Offsets {
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Which range, if any does, `offset` is in; or the first one after it.
    fn at(&self, offset: u64) -> usize {
        self.0.partition_point(|range| range.end <= offset)
    }

    pub(super) fn contains(&self, offset: u64) -> bool {
        self.0.get(self.at(offset)).is_some_and(|range| range.contains(&offset))
    }

    /// Returns whether it was new.
    pub(super) fn insert(&mut self, offset: u64) -> bool {
        let at = self.at(offset);
        if self.0.get(at).is_some_and(|range| range.contains(&offset)) {
            return false;
        }
        let follows = at > 0 && self.0[at - 1].end == offset;
        let precedes = self.0.get(at).is_some_and(|range| range.start == offset + 1);
        match (follows, precedes) {
            (true, true) => self.0[at - 1].end = self.0.remove(at).map_or(offset + 1, |range| range.end),
            (true, false) => self.0[at - 1].end = offset + 1,
            (false, true) => self.0[at].start = offset,
            (false, false) => self.0.insert(at, offset..offset + 1),
        }
        true
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, offset: u64) -> bool {
        let at = self.at(offset);
        let Some(range) = self.0.get_mut(at).filter(|range| range.contains(&offset)) else { return false };
        let rest = offset + 1..range.end;
        range.end = offset;
        match (range.is_empty(), rest.is_empty()) {
            (true, true) => drop(self.0.remove(at)),
            (true, false) => *range = rest,
            (false, true) => {}
            (false, false) => self.0.insert(at + 1, rest),
        }
        true
    }

    pub(super) fn remove_before(&mut self, offset: u64) {
        self.0.drain(..self.at(offset));
        if let Some(first) = self.0.front_mut() {
            first.start = first.start.max(offset);
        }
    }

    /// Where the range ends that begins exactly at `start`, or that `start` is in.
    pub(super) fn end_of_run(&self, start: u64) -> Option<u64> {
        self.0.get(self.at(start)).filter(|range| range.contains(&start)).map(|range| range.end)
    }

    pub(super) fn start(&self) -> Option<u64> {
        self.0.front().map(|range| range.start)
    }

    /// After the greatest.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.back().map(|range| range.end)
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
                    5..7 => assert_eq!(ours.remove(offset), model.remove(&offset)),
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
