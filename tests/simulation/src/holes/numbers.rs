//! The numbers that each node gives to the same writes.

/// Milliseconds stand above so many bits of a version.
const MILLIS: u32 = 22;

/// Node 0 numbers as the table does; node 1 has another clock, and other numbers within a millisecond
/// (`wire/cluster.jsonl`).
#[derive(Clone, Debug)]
pub struct Numbers {
    /// How far node 1's clock is ahead, and from which version on.
    ahead: Vec<(i64, i64)>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { ahead: vec![(i64::MIN, 2_345)] }
    }
}

impl Numbers {
    /// The number at a node of what has this version at node 0.
    pub fn of(&self, node: i64, version: i64) -> i64 {
        if node == 0 {
            return version;
        }
        let ahead =
            self.ahead.iter().rev().find(|(since, _)| *since <= version).map_or(0, |(_, ahead)| *ahead);
        version + ((ahead << MILLIS) + (version >> MILLIS) % 5)
    }

    /// The clock of node 1 is set forward, for what is written behind a version.
    pub fn jump(&mut self, since: i64, milliseconds: i64) {
        let ahead = self.ahead.last().map_or(0, |(_, ahead)| *ahead);
        self.ahead.push((since + 1, ahead + milliseconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_numbers_in_the_order_of_writing() {
        let mut numbers = Numbers::default();
        let versions: Vec<i64> = (1..2_000).map(|n| n * 700_000).collect();
        numbers.jump(versions[500], 60_000);
        for node in [0, 1] {
            let mapped: Vec<i64> = versions.iter().map(|version| numbers.of(node, *version)).collect();
            assert!(mapped.is_sorted_by(|a, b| a < b));
        }
        assert!(versions.iter().all(|version| numbers.of(1, *version) != *version));
        assert!(numbers.of(1, versions[501]) - numbers.of(1, versions[500]) > 60_000 << MILLIS);
    }
}
