package dev.kalamlive

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import kotlin.random.Random

class RowTreeTest {
    @Test
    fun `is a list, whatever happens to it`() {
        for (seed in 0 until 200) {
            val random = Random(seed)
            val start = List(random.nextInt(3000)) { -it }
            val list = start.toMutableList()
            var tree = RowTree.of(start)
            val before = tree
            // Times of growth and of shrinking.
            var growth = 0.5
            repeat(2000) { step ->
                if (step % 400 == 0) growth = random.nextDouble()
                when {
                    list.isEmpty() || random.nextDouble() < growth * 0.8 -> {
                        val at = random.nextInt(list.size + 1)
                        list.add(at, step)
                        tree = tree.insert(at, step)
                    }
                    random.nextDouble() < 0.3 -> {
                        val at = random.nextInt(list.size)
                        list[at] = step
                        tree = tree.set(at, step)
                    }
                    else -> {
                        val at = if (random.nextBoolean()) 0 else random.nextInt(list.size)
                        list.removeAt(at)
                        tree = tree.removeAt(at)
                    }
                }
                assertEquals(list.size, tree.size)
                if (list.isNotEmpty()) random.nextInt(list.size).let { assertEquals(list[it], tree[it], "seed $seed") }
            }
            assertEquals(list, tree.toList(), "seed $seed")
            assertEquals(start, before.toList(), "the list before has not changed")
        }
    }
}
