package dev.kalamlive

import dev.kalamlive.internal.NativeHandle
import dev.kalamlive.internal.NativeSent
import dev.kalamlive.internal.Upload
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.serialization.builtins.serializer
import java.io.File
import java.net.URLConnection
import kotlin.time.Duration.Companion.milliseconds

/** A file for [KalamClient.executeWithFiles]. */
public class FileUpload(
    /** Its bytes. */
    public val content: ByteArray,
    /** The name that it is stored under; without it that of its placeholder. */
    public val name: String? = null,
    /** What it is, such as `image/png`. */
    public val mime: String? = null,
) {
    override fun toString(): String = "FileUpload($name, $mime, ${content.size} bytes)"

    public companion object {
        /** A file of this machine, its type guessed by its name. */
        public suspend fun read(file: File): FileUpload = withContext(Dispatchers.IO) {
            FileUpload(file.readBytes(), file.name, URLConnection.guessContentTypeFromName(file.name))
        }
    }
}

/** How far an upload is: bytes of all files together. */
public data class UploadProgress(val sentBytes: Long, val totalBytes: Long)

/** A downloaded file. */
public class FileDownload internal constructor(
    /** The bytes. */
    public val content: ByteArray,
    /** What the server says that it is. */
    public val mime: String?,
) {
    override fun toString(): String = "FileDownload($mime, ${content.size} bytes)"
}

/** How often is looked whether more was sent. */
private val LOOK_AGAIN = 50.milliseconds

internal fun Map<String, FileUpload>.native(): List<Upload> =
    map { (placeholder, file) -> Upload(placeholder, file.name ?: placeholder, file.mime, file.content) }

/** Waits for an upload, and tells of its progress meanwhile. */
internal suspend fun uploaded(
    files: List<Upload>,
    onProgress: ((UploadProgress) -> Unit)?,
    start: (NativeSent) -> NativeHandle,
): Long = NativeSent().use { sent ->
    if (onProgress == null) return@use start(sent).answer(Long.serializer())
    val total = files.sumOf { it.content.size.toLong() }
    var told = -1L
    fun tell() {
        val bytes = sent.bytes().toLong()
        if (bytes != told) onProgress(UploadProgress(bytes, total))
        told = bytes
    }
    coroutineScope {
        val telling = launch {
            while (true) {
                tell()
                delay(LOOK_AGAIN)
            }
        }
        val changed = start(sent).answer(Long.serializer())
        telling.cancel()
        telling.join()
        tell()
        changed
    }
}
