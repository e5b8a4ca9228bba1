//! A sorted list that is also a vector: a persistent counted B+tree.
//!
//! Finding by position, by order, inserting and removing cost O(log n). Cloning costs O(1): clones share every node, and
//! a change copies the nodes on its path only while another clone still holds them.

mod node;

use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;
use std::slice;
use std::sync::Arc;

use node::Node;

/// How a [`RankTree`] sorts. The order must be total, and no two items of a tree may be equal in it.
pub(crate) trait Order<T> {
    /// What an inner node keeps to lead a search: as little of an item as tells its place.
    type Separator: Clone;

    fn compare(&self, a: &T, b: &T) -> Ordering;

    fn compare_separator(&self, item: &T, separator: &Self::Separator) -> Ordering;

    fn separator(&self, item: &T) -> Self::Separator;
}

pub(crate) struct RankTree<T, S> {
    root: Arc<Node<T, S>>,
    len: usize,
}

impl<T, S> Clone for RankTree<T, S> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<T, S> Default for RankTree<T, S> {
    fn default() -> Self {
        Self { root: Arc::new(Node::new()), len: 0 }
    }
}

impl<T, S> RankTree<T, S> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        let (items, at) = self.leaf(position)?;
        items.get(at)
    }

    pub(crate) fn iter(&self) -> Iter<'_, T, S> {
        Iter { tree: self, start: 0, end: self.len, front: [].iter(), back: [].iter() }
    }

    /// The leaf that holds the item at `position`, and where it stands in it.
    fn leaf(&self, position: usize) -> Option<(&[T], usize)> {
        if position >= self.len {
            return None;
        }
        let (leaf, at) = Node::leaf_at(&self.root, position);
        Some((leaf.items(), at))
    }
}

impl<T: Clone, S: Clone> RankTree<T, S> {
    /// The tree of items that are sorted already, in O(n).
    pub(crate) fn from_sorted<O: Order<T, Separator = S>>(items: Vec<T>, order: &O) -> Self {
        let len = items.len();
        debug_assert!(items.is_sorted_by(|a, b| order.compare(a, b) == Ordering::Less));
        Self { root: node::build(items, order), len }
    }

    /// How many items stand before `item`, whether or not it is in the tree.
    pub(crate) fn rank<O: Order<T, Separator = S>>(&self, item: &T, order: &O) -> usize {
        self.root.rank(item, order)
    }

    /// Puts `item` where it belongs and returns its position.
    pub(crate) fn insert<O: Order<T, Separator = S>>(&mut self, item: T, order: &O) -> usize {
        let (position, split) = Node::insert(&mut self.root, item, order, true);
        if let Some(right) = split {
            self.root = Arc::new(Node::join(self.root.clone(), right));
        }
        self.len += 1;
        position
    }

    /// Takes out the item that is equal to `item` in the order, with the position it had.
    pub(crate) fn remove<O: Order<T, Separator = S>>(&mut self, item: &T, order: &O) -> Option<(usize, T)> {
        let removed = Node::remove(&mut self.root, item, order)?;
        if let Some(only) = self.root.only_child() {
            self.root = only;
        }
        self.len -= 1;
        Some(removed)
    }

    /// Puts `item` in the place of the one that is equal to it in the order, and returns that one.
    pub(crate) fn replace<O: Order<T, Separator = S>>(&mut self, item: T, order: &O) -> Option<T> {
        Node::replace(&mut self.root, item, order)
    }

    #[cfg(test)]
    fn check<O: Order<T, Separator = S>>(&self, order: &O) {
        assert_eq!(self.len, self.root.check(order, None, None, true).0);
        assert!(self.iter().is_sorted_by(|a, b| order.compare(a, b) == Ordering::Less));
    }
}

impl<T: fmt::Debug, S> fmt::Debug for RankTree<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The items in order. Walks whole leaves; a leaf is found from the root once.
pub(crate) struct Iter<'a, T, S> {
    tree: &'a RankTree<T, S>,
    /// What neither `front` nor `back` covers.
    start: usize,
    end: usize,
    front: slice::Iter<'a, T>,
    back: slice::Iter<'a, T>,
}

impl<'a, T, S> Iterator for Iter<'a, T, S> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.front.next() {
                return Some(item);
            }
            if self.start >= self.end {
                return self.back.next();
            }
            let (items, at) = self.tree.leaf(self.start)?;
            let items = &items[at..];
            let items = &items[..items.len().min(self.end - self.start)];
            self.start += items.len();
            self.front = items.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.front.len() + (self.end - self.start) + self.back.len();
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<&'a T> {
        let skipped = n.min(self.front.len());
        if skipped < self.front.len() {
            return self.front.nth(skipped);
        }
        self.front = [].iter();
        let skipped_more = (n - skipped).min(self.end - self.start);
        self.start += skipped_more;
        if skipped + skipped_more < n {
            return self.back.nth(n - skipped - skipped_more);
        }
        self.next()
    }
}

impl<T, S> DoubleEndedIterator for Iter<'_, T, S> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.back.next_back() {
                return Some(item);
            }
            if self.start >= self.end {
                return self.front.next_back();
            }
            let (items, at) = self.tree.leaf(self.end - 1)?;
            let items = &items[..=at];
            let items = &items[items.len() - items.len().min(self.end - self.start)..];
            self.end -= items.len();
            self.back = items.iter();
        }
    }
}

impl<T, S> ExactSizeIterator for Iter<'_, T, S> {}
impl<T, S> FusedIterator for Iter<'_, T, S> {}

impl<T, S> Clone for Iter<'_, T, S> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), back: self.back.clone(), ..*self }
    }
}

#[cfg(test)]
mod tests;
