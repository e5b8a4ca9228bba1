use proptest::prelude::*;

use super::*;

struct Ascending;

impl Order<u32> for Ascending {
    type Separator = u32;

    fn compare(&self, a: &u32, b: &u32) -> Ordering {
        a.cmp(b)
    }

    fn compare_separator(&self, item: &u32, separator: &u32) -> Ordering {
        item.cmp(separator)
    }

    fn separator(&self, item: &u32) -> u32 {
        *item
    }
}

type Tree = RankTree<u32, u32>;

fn tree_of(items: impl IntoIterator<Item = u32>) -> Tree {
    let mut tree = Tree::default();
    for item in items {
        tree.insert(item, &Ascending);
    }
    tree
}

fn assert_same(tree: &Tree, list: &[u32]) {
    tree.check(&Ascending);
    assert_eq!(tree.len(), list.len());
    assert!(tree.iter().eq(list));
    assert!(tree.iter().rev().eq(list.iter().rev()));
    for (i, item) in list.iter().enumerate() {
        assert_eq!(tree.get(i), Some(item));
        assert_eq!(tree.rank(item, &Ascending), i);
    }
    assert_eq!(tree.get(list.len()), None);
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    Remove(u32),
    Replace(u32),
    Snapshot,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u32..400).prop_map(Op::Insert),
        3 => (0u32..400).prop_map(Op::Remove),
        1 => (0u32..400).prop_map(Op::Replace),
        1 => Just(Op::Snapshot),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_vec(start in 0u32..300, ops in prop::collection::vec(op(), 0..600)) {
        let mut list: Vec<u32> = (0..start).collect();
        let mut tree = Tree::from_sorted(list.clone(), &Ascending);
        let mut snapshots = Vec::new();
        for op in ops {
            match op {
                Op::Insert(item) => {
                    if let Err(at) = list.binary_search(&item) {
                        list.insert(at, item);
                        prop_assert_eq!(tree.insert(item, &Ascending), at);
                    }
                }
                Op::Remove(item) => {
                    let expected = list.binary_search(&item).ok().map(|at| (at, list.remove(at)));
                    prop_assert_eq!(tree.remove(&item, &Ascending), expected);
                }
                Op::Replace(item) => {
                    let expected = list.binary_search(&item).ok().map(|_| item);
                    prop_assert_eq!(tree.replace(item, &Ascending), expected);
                }
                Op::Snapshot => snapshots.push((tree.clone(), list.clone())),
            }
            tree.check(&Ascending);
        }
        assert_same(&tree, &list);
        // What was shared with a snapshot was never changed under it.
        for (tree, list) in &snapshots {
            assert_same(tree, list);
        }
    }

    #[test]
    fn iterates_from_both_ends(len in 0u32..200, steps in prop::collection::vec((any::<bool>(), 0usize..40), 0..60)) {
        let tree = Tree::from_sorted((0..len).collect(), &Ascending);
        let list: Vec<u32> = (0..len).collect();
        let (mut ours, mut theirs) = (tree.iter(), list.iter());
        for (forward, n) in steps {
            if forward {
                prop_assert_eq!(ours.nth(n), theirs.nth(n));
            } else {
                prop_assert_eq!(ours.nth_back(n), theirs.nth_back(n));
            }
            prop_assert_eq!(ours.len(), theirs.len());
        }
        prop_assert!(ours.eq(theirs));
    }
}

#[test]
fn every_size_builds_and_drains() {
    for len in 0..150u32 {
        let items: Vec<u32> = (0..len).collect();
        assert_same(&Tree::from_sorted(items.clone(), &Ascending), &items);
        assert_same(&tree_of(items.iter().copied()), &items);
        assert_same(&tree_of(items.iter().rev().copied()), &items);
        let mut tree = Tree::from_sorted(items.clone(), &Ascending);
        for item in items.iter().rev() {
            assert_eq!(tree.remove(item, &Ascending), Some((*item as usize, *item)));
            tree.check(&Ascending);
        }
        assert_eq!(tree.len(), 0);
    }
}

#[test]
fn a_change_copies_only_its_path() {
    let tree = Tree::from_sorted((0..10_000).collect(), &Ascending);
    let mut changed = tree.clone();
    changed.replace(5_000, &Ascending);
    let leaves = |tree: &Tree| -> Vec<*const u32> {
        (0..tree.len()).filter_map(|i| tree.leaf(i)).map(|(items, _)| items.as_ptr()).collect()
    };
    let copied = leaves(&tree).iter().zip(leaves(&changed)).filter(|(a, b)| **a != *b).count();
    assert!(copied > 0 && copied <= node::LEAF, "{copied} items were copied");

    // Without a snapshot nothing is copied.
    drop(tree);
    let before = leaves(&changed);
    changed.replace(7, &Ascending);
    assert_eq!(leaves(&changed)[7], before[7]);
}
