package dev.kalamlive

import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.io.File

private const val TABLE = "id BIGINT PRIMARY KEY, f FILE"

/** What the scenarios do not have: files of this machine, and uploads that are given up. */
class FilesTest {
    @Test
    fun `a file of this machine`(@TempDir directory: File) = test {
        val photo = directory.resolve("cat 1.png")
        photo.writeBytes(byteArrayOf(0, -1, 7))
        place(TABLE) { client, ns ->
            val told = ArrayList<UploadProgress>()
            val (sql, files) = Pair("INSERT INTO $ns.t VALUES ($1, FILE(\"it\"))", mapOf("it" to FileUpload.read(photo)))
            val caller = Thread.currentThread()
            client.executeWithFiles(sql, files, listOf(1)) {
                assertEquals(caller, Thread.currentThread(), "told in the context of the caller")
                told.add(it)
            }
            assertEquals(UploadProgress(3, 3), told.last())
            assertEquals(told.distinct(), told)
            val file = client.queryOne("SELECT f FROM $ns.t")!!.file("f")
            assertEquals(Triple("cat 1.png", "image/png", 3L), Triple(file.name, file.mime, file.size))
            assertArrayEquals(photo.readBytes(), client.downloadFile(file, "$ns.t").content)
        }
    }

    @Test
    fun `uploads that are given up`() = test {
        place(TABLE) { client, ns ->
            val sql = "INSERT INTO $ns.t VALUES (1, FILE(\"it\"))"
            val files = mapOf("it" to FileUpload(ByteArray(5_000_000)))
            val thrown = runCatching { client.executeWithFiles(sql, files) { throw ArithmeticException("enough") } }
            assertTrue(thrown.exceptionOrNull() is ArithmeticException, "${thrown.exceptionOrNull()}")
            val call = launch { client.executeWithFiles(sql, files) {} }
            call.cancelAndJoin()
            client.close()
            assertEquals("closed", failure { client.executeWithFiles(sql, files) }.code)
        }
    }
}
