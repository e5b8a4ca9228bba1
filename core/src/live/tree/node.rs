//! The nodes of a [`RankTree`](super::RankTree).

use std::cmp::Ordering;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Order;

/// Items of a leaf and children of an inner node, at most. A change after a snapshot copies one node a level, and each
/// copied entry touches a reference count elsewhere in memory: small nodes keep that cheap, large ones save memory.
pub(super) const LEAF: usize = if cfg!(test) { 8 } else { 32 };
pub(super) const FANOUT: usize = if cfg!(test) { 4 } else { 16 };

/// Below these a node is joined with a neighbour, or takes from it.
const MIN_LEAF: usize = LEAF / 4;
const MIN_FANOUT: usize = if FANOUT < 8 { 2 } else { FANOUT / 4 };

/// Both kinds live in an `Arc` of their own, where a box in the box would cost a step in every search.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub(super) enum Node<T, S> {
    Leaf(Leaf<T>),
    Inner(Inner<T, S>),
}

type Leaf<T> = ArrayVec<T, LEAF>;

#[derive(Clone)]
pub(super) struct Inner<T, S> {
    children: ArrayVec<Arc<Node<T, S>>, FANOUT>,
    /// Items below each child.
    counts: ArrayVec<usize, FANOUT>,
    /// One between each two children: greater than all on its left, not greater than any on its right.
    separators: ArrayVec<S, FANOUT>,
}

/// The right half of a node that was full, and the separator before it.
type Split<T, S> = Option<(S, Arc<Node<T, S>>)>;

/// A node with the separator before it and the number of its items.
type Built<T, S> = (S, usize, Arc<Node<T, S>>);

impl<T, S> Node<T, S> {
    pub(super) fn new() -> Self {
        Self::Leaf(Leaf::new())
    }

    /// The leaf that holds the item at `position`, which must be there, and where it stands in it.
    pub(super) fn leaf_at(mut node: &Arc<Self>, mut position: usize) -> (&Arc<Self>, usize) {
        while let Self::Inner(inner) = &**node {
            let mut child = 0;
            while position >= inner.counts[child] {
                position -= inner.counts[child];
                child += 1;
            }
            node = &inner.children[child];
        }
        (node, position)
    }

    /// The items of a leaf.
    pub(super) fn items(&self) -> &[T] {
        match self {
            Self::Leaf(items) => items,
            Self::Inner(_) => &[],
        }
    }

    pub(super) fn only_child(&self) -> Option<Arc<Self>> {
        match self {
            Self::Inner(inner) if inner.children.len() == 1 => inner.children.first().cloned(),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    fn is_sparse(&self) -> bool {
        match self {
            Self::Leaf(items) => items.len() < MIN_LEAF,
            Self::Inner(inner) => inner.children.len() < MIN_FANOUT,
        }
    }
}

impl<T: Clone, S: Clone> Node<T, S> {
    /// A root over two nodes.
    pub(super) fn join(left: Arc<Self>, (separator, right): (S, Arc<Self>)) -> Self {
        Self::Inner(Inner {
            counts: [left.count(), right.count()].into_iter().collect(),
            children: [left, right].into_iter().collect(),
            separators: [separator].into_iter().collect(),
        })
    }

    pub(super) fn rank<O: Order<T, Separator = S>>(&self, item: &T, order: &O) -> usize {
        let mut node = self;
        let mut before = 0;
        loop {
            match node {
                Self::Leaf(items) => return before + position(items, item, order),
                Self::Inner(inner) => {
                    let child = inner.child_for(item, order);
                    before += inner.counts[..child].iter().sum::<usize>();
                    node = &inner.children[child];
                }
            }
        }
    }

    /// `last`: whether nothing stands behind this node. Where items are only appended, full nodes stay full.
    pub(super) fn insert<O: Order<T, Separator = S>>(
        node: &mut Arc<Self>,
        item: T,
        order: &O,
        last: bool,
    ) -> (usize, Split<T, S>) {
        match Arc::make_mut(node) {
            Self::Leaf(items) => {
                let at = position(items, &item, order);
                if !items.is_full() {
                    items.insert(at, item);
                    return (at, None);
                }
                let keep = if last && at == LEAF { LEAF } else { LEAF / 2 };
                let mut right: Leaf<T> = items.drain(keep..).collect();
                if at <= keep && keep < LEAF {
                    items.insert(at, item);
                } else {
                    right.insert(at - keep, item);
                }
                (at, Some((order.separator(&right[0]), Arc::new(Self::Leaf(right)))))
            }
            Self::Inner(inner) => {
                let child = inner.child_for(&item, order);
                let before: usize = inner.counts[..child].iter().sum();
                let last = last && child + 1 == inner.children.len();
                let (at, split) = Self::insert(&mut inner.children[child], item, order, last);
                inner.counts[child] += 1;
                let up = split.and_then(|(separator, right)| inner.adopt(child, separator, right, last));
                (before + at, up)
            }
        }
    }

    pub(super) fn remove<O: Order<T, Separator = S>>(
        node: &mut Arc<Self>,
        item: &T,
        order: &O,
    ) -> Option<(usize, T)> {
        match Arc::make_mut(node) {
            Self::Leaf(items) => {
                let at = position(items, item, order);
                let found = items.get(at).is_some_and(|there| order.compare(there, item) == Ordering::Equal);
                found.then(|| (at, items.remove(at)))
            }
            Self::Inner(inner) => {
                let child = inner.child_for(item, order);
                let (at, removed) = Self::remove(&mut inner.children[child], item, order)?;
                let before: usize = inner.counts[..child].iter().sum();
                inner.counts[child] -= 1;
                if inner.children[child].is_sparse() {
                    inner.fill(child.saturating_sub(1), order);
                }
                Some((before + at, removed))
            }
        }
    }

    pub(super) fn replace<O: Order<T, Separator = S>>(
        mut node: &mut Arc<Self>,
        item: T,
        order: &O,
    ) -> Option<T> {
        loop {
            match Arc::make_mut(node) {
                Self::Leaf(items) => {
                    let at = position(items, &item, order);
                    let there = items.get_mut(at)?;
                    return (order.compare(there, &item) == Ordering::Equal)
                        .then(|| std::mem::replace(there, item));
                }
                Self::Inner(inner) => {
                    let child = inner.child_for(&item, order);
                    node = &mut inner.children[child];
                }
            }
        }
    }
}

/// How many of `items` stand before `item`.
fn position<T, O: Order<T>>(items: &[T], item: &T, order: &O) -> usize {
    items.partition_point(|there| order.compare(there, item) == Ordering::Less)
}

impl<T: Clone, S: Clone> Inner<T, S> {
    fn child_for<O: Order<T, Separator = S>>(&self, item: &T, order: &O) -> usize {
        self.separators.partition_point(|s| order.compare_separator(item, s) != Ordering::Less)
    }

    /// Takes in the right half of `child`, and gives away its own right half when it is full.
    fn adopt(&mut self, child: usize, separator: S, right: Arc<Node<T, S>>, last: bool) -> Split<T, S> {
        let count = right.count();
        self.counts[child] -= count;
        let insert = |inner: &mut Self, child: usize| {
            inner.children.insert(child + 1, right);
            inner.counts.insert(child + 1, count);
            inner.separators.insert(child, separator);
        };
        if !self.children.is_full() {
            insert(self, child);
            return None;
        }
        let keep = if last { FANOUT - 1 } else { FANOUT / 2 };
        let mut other = Self {
            children: self.children.drain(keep..).collect(),
            counts: self.counts.drain(keep..).collect(),
            separators: self.separators.drain(keep..).collect(),
        };
        let up = self.separators.pop();
        if child < keep {
            insert(self, child);
        } else {
            insert(&mut other, child - keep);
        }
        up.map(|up| (up, Arc::new(Node::Inner(other))))
    }

    /// Makes one of the children `left` and `left + 1`, or evens them out when they hold too much for one.
    fn fill<O: Order<T, Separator = S>>(&mut self, left: usize, order: &O) {
        let right = left + 1;
        let (start, end) = self.children.split_at_mut(right);
        let (Some(a), Some(b)) = (start.last_mut(), end.first_mut()) else { return };
        let emptied = match (Arc::make_mut(a), Arc::make_mut(b)) {
            (Node::Leaf(a), Node::Leaf(b)) => {
                let mut items: Vec<T> = a.drain(..).chain(b.drain(..)).collect();
                let keep = share(items.len(), LEAF);
                b.extend(items.drain(keep..));
                a.extend(items);
                if let Some(first) = b.first() {
                    self.separators[left] = order.separator(first);
                }
                b.is_empty()
            }
            (Node::Inner(a), Node::Inner(b)) => {
                a.separators.push(self.separators[left].clone());
                let mut children: Vec<_> = a.children.drain(..).chain(b.children.drain(..)).collect();
                let mut counts: Vec<_> = a.counts.drain(..).chain(b.counts.drain(..)).collect();
                let mut separators: Vec<_> = a.separators.drain(..).chain(b.separators.drain(..)).collect();
                let keep = share(children.len(), FANOUT);
                b.children.extend(children.drain(keep..));
                b.counts.extend(counts.drain(keep..));
                if !b.children.is_empty() {
                    b.separators.extend(separators.drain(keep..));
                    self.separators[left] = separators.remove(keep - 1);
                }
                a.children.extend(children);
                a.counts.extend(counts);
                a.separators.extend(separators);
                b.children.is_empty()
            }
            // Siblings are of one level.
            _ => return,
        };
        if emptied {
            self.children.remove(right);
            self.separators.remove(left);
            let moved = self.counts.remove(right);
            self.counts[left] += moved;
        } else {
            self.counts[left] = self.children[left].count();
            self.counts[right] = self.children[right].count();
        }
    }
}

/// How many of `total` stay in the left of two nodes that hold `capacity` each.
fn share(total: usize, capacity: usize) -> usize {
    if total <= capacity { total } else { total.div_ceil(2) }
}

/// The root over sorted items.
pub(super) fn build<T, O: Order<T>>(items: Vec<T>, order: &O) -> Arc<Node<T, O::Separator>> {
    if items.is_empty() {
        return Arc::new(Node::new());
    }
    let mut level: Vec<Built<T, O::Separator>> = even_groups(items, LEAF, |items| {
        let leaf: Leaf<T> = items.collect();
        (order.separator(&leaf[0]), leaf.len(), Arc::new(Node::Leaf(leaf)))
    });
    while level.len() > 1 {
        level = even_groups(level, FANOUT, |nodes| {
            let mut inner =
                Inner { children: ArrayVec::new(), counts: ArrayVec::new(), separators: ArrayVec::new() };
            let mut first = None;
            for (separator, count, child) in nodes {
                inner.children.push(child);
                inner.counts.push(count);
                match first {
                    None => first = Some(separator),
                    Some(_) => inner.separators.push(separator),
                }
            }
            let first = first.expect("groups hold at least one");
            (first, inner.counts.iter().sum(), Arc::new(Node::Inner(inner)))
        });
    }
    level.remove(0).2
}

/// Cuts `list` into as few groups of at most `capacity` as there can be, of nearly equal size.
fn even_groups<A, B>(
    list: Vec<A>,
    capacity: usize,
    mut group: impl FnMut(&mut dyn Iterator<Item = A>) -> B,
) -> Vec<B> {
    let groups = list.len().div_ceil(capacity);
    let (size, larger) = (list.len() / groups, list.len() % groups);
    let mut list = list.into_iter();
    (0..groups).map(|i| group(&mut list.by_ref().take(size + usize::from(i < larger)))).collect()
}

#[cfg(test)]
impl<T: Clone, S: Clone> Node<T, S> {
    /// Checks the invariants below this node; returns its items and its depth.
    pub(super) fn check<O: Order<T, Separator = S>>(
        &self,
        order: &O,
        low: Option<&S>,
        high: Option<&S>,
        root: bool,
    ) -> (usize, usize) {
        match self {
            Self::Leaf(items) => {
                assert!(root || !items.is_empty());
                for item in items {
                    assert!(low.is_none_or(|s| order.compare_separator(item, s) != Ordering::Less));
                    assert!(high.is_none_or(|s| order.compare_separator(item, s) == Ordering::Less));
                }
                (items.len(), 0)
            }
            Self::Inner(inner) => {
                let n = inner.children.len();
                assert!(n >= 2 && n == inner.counts.len() && n == inner.separators.len() + 1);
                let mut depths = Vec::new();
                for (i, child) in inner.children.iter().enumerate() {
                    let low = if i == 0 { low } else { Some(&inner.separators[i - 1]) };
                    let high = inner.separators.get(i).or(high);
                    let (count, depth) = child.check(order, low, high, false);
                    assert_eq!(count, inner.counts[i]);
                    depths.push(depth);
                }
                depths.dedup();
                assert_eq!(depths.len(), 1, "every leaf is equally deep");
                (self.count(), depths[0] + 1)
            }
        }
    }
}
