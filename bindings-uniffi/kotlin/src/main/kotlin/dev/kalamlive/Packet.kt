package dev.kalamlive

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What crossed from the native half. The layout is described in `bindings-common/src/packet.rs`. */
internal class Packet(val bytes: ByteArray) {
    val data: ByteBuffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder())

    val kind get() = data.getInt(0)

    /** Whether the columns are not those of the packet before. */
    val hasNewColumns get() = data.getInt(4) and 1 != 0

    /** Rows of this packet and those that follow. */
    val total get() = data.getInt(8)
    val rows = data.getInt(12)
    val columns = data.getInt(16)

    /** How many words the lists have. */
    val listed = data.getInt(20)

    /** Where the rows begin. */
    val cells = padded((HEAD + listed) * 4)

    /** Bytes that a row takes. */
    val stride = padded(columns) + columns * 8

    /** Where the text begins. */
    val text = cells + rows * stride

    /** Where the blobs begin. */
    val blobs = text + padded(data.getInt(24))

    /** A word of the lists. */
    fun word(at: Int): Int = data.getInt((HEAD + at) * 4)

    /** A version in the lists. */
    fun version(at: Int): Long? = data.getLong((HEAD + at) * 4).takeIf { it >= 0 }

    /** A double in the lists. */
    fun double(at: Int): Double = data.getDouble((HEAD + at) * 4)

    /** A copy of words of the lists. */
    fun list(at: Int, length: Int): IntArray = IntArray(length) { word(at + it) }

    /** The text of a note, whose two words are at [at]. */
    fun note(at: Int): String? {
        val length = word(at + 1)
        return if (length == 0) null else String(bytes, text + word(at), length - 1, Charsets.UTF_8)
    }

    companion object {
        const val RESET = 3

        /** Words in front of the lists. */
        private const val HEAD = 8
    }
}

internal fun padded(bytes: Int): Int = (bytes + 7) and 7.inv()
