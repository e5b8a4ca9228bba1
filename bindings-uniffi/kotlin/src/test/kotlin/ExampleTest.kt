package dev.kalamlive

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import java.io.ByteArrayOutputStream
import java.io.PrintStream

class ExampleTest {
    @Test
    fun `the first program`() {
        val before = System.out
        val said = ByteArrayOutputStream()
        System.setOut(PrintStream(said, true, Charsets.UTF_8))
        try {
            // Of examples/kotlin/FirstQuery.kt, which is in no package.
            Class.forName("FirstQueryKt").getMethod("main").invoke(null)
        } finally {
            System.setOut(before)
        }
        assertEquals(listOf("1: hello", "all: [hello]", "new at 1: world"), said.toString(Charsets.UTF_8).trim().lines())
    }
}
