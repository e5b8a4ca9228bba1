import Testing

@testable import KalamLive

/// The same numbers on every run.
private struct Lehmer: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 33)
    }
}

@Suite struct RowTreeTests {
    @Test func isAListWhateverHappensToIt() {
        for seed in 0..<60 {
            var random = Lehmer(state: UInt64(seed))
            let start = (0..<Int.random(in: 0..<3000, using: &random)).map { -$0 }
            var list = start
            var tree = RowTree(start)
            let before = tree
            // Times of growth and of shrinking.
            var growth = 0.5
            for step in 0..<1500 {
                if step % 300 == 0 { growth = Double.random(in: 0..<1, using: &random) }
                if list.isEmpty || Double.random(in: 0..<1, using: &random) < growth * 0.8 {
                    let at = Int.random(in: 0...list.count, using: &random)
                    list.insert(step, at: at)
                    tree = tree.inserting(at, step)
                } else {
                    let at = Bool.random(using: &random) ? 0 : Int.random(in: 0..<list.count, using: &random)
                    if Int.random(in: 0..<3, using: &random) == 0 {
                        list[at] = step
                        tree = tree.setting(at, step)
                    } else {
                        list.remove(at: at)
                        tree = tree.removing(at)
                    }
                }
                #expect(list.count == tree.count)
                if let at = list.indices.randomElement(using: &random) { #expect(list[at] == tree[at]) }
            }
            #expect(Array(IteratorSequence(tree.makeIterator())) == list, "seed \(seed)")
            #expect(Array(IteratorSequence(before.makeIterator())) == start, "the list before has not changed")
        }
    }
}
