package dev.kalamlive

import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.KSerializer
import kotlinx.serialization.SerializationException
import kotlinx.serialization.descriptors.PrimitiveKind
import kotlinx.serialization.descriptors.PrimitiveSerialDescriptor
import kotlinx.serialization.descriptors.SerialDescriptor
import kotlinx.serialization.descriptors.StructureKind
import kotlinx.serialization.encoding.AbstractDecoder
import kotlinx.serialization.encoding.CompositeDecoder
import kotlinx.serialization.encoding.Decoder
import kotlinx.serialization.encoding.Encoder
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.modules.SerializersModule
import kotlinx.serialization.modules.contextual
import kotlinx.serialization.serializer
import java.math.BigDecimal
import java.time.LocalDate
import java.time.LocalTime
import java.util.UUID
import kotlin.time.Instant
import kotlin.time.toJavaInstant

/**
 * What makes a [T] of a row: each property from the column of its name, whatever else the row has.
 *
 * Integers fit into the property's type or fail; a JSON column becomes any serializable class. For `BigDecimal`, `UUID`,
 * `LocalDate`, `LocalTime` and `java.time.Instant` write `@Contextual`.
 */
internal fun <T> rowFormat(deserializer: DeserializationStrategy<T>): (Row) -> T {
    val decoder = RowDecoder(deserializer.descriptor)
    return { row -> decoder.decode(row, deserializer) }
}

/** The row as a [T]. */
public fun <T> Row.decode(deserializer: DeserializationStrategy<T>): T = rowFormat(deserializer)(this)

/** The row as a [T]. */
public inline fun <reified T> Row.decode(): T = decode(serializer<T>())

/** One for all rows of a query; read by one thread at a time. */
@OptIn(ExperimentalSerializationApi::class)
private class RowDecoder(private val top: SerialDescriptor) : AbstractDecoder() {
    override val serializersModule: SerializersModule = cells

    private var row: Row? = null
    private var columns: Columns? = null

    /** The column of each property, -1 when there is none. */
    private var places = IntArray(0)

    /** The next property to look at. */
    private var next = 0

    /** The column whose cell is being read. */
    private var place = 0

    init {
        if (top.kind != StructureKind.CLASS && top.kind != StructureKind.MAP && top.kind != StructureKind.OBJECT) {
            throw SerializationException("a row can be made a class, which ${top.serialName} is not")
        }
    }

    fun <T> decode(row: Row, deserializer: DeserializationStrategy<T>): T {
        if (columns !== row.columns) {
            columns = row.columns
            places = IntArray(top.elementsCount) { row.columns.place(top.getElementName(it)) }
        }
        this.row = row
        next = 0
        return deserializer.deserialize(this)
    }

    private val cell: Any? get() = row!![place]

    override fun beginStructure(descriptor: SerialDescriptor): CompositeDecoder = this

    override fun decodeElementIndex(descriptor: SerialDescriptor): Int {
        while (next < places.size) {
            val index = next++
            place = places[index]
            // NULL where the property has a default and can not be null: the default.
            val isNull = place >= 0 && cell == null
            val skip = isNull && descriptor.isElementOptional(index) && !descriptor.getElementDescriptor(index).isNullable
            if (place >= 0 && !skip) return index
        }
        return CompositeDecoder.DECODE_DONE
    }

    override fun decodeNotNullMark(): Boolean = cell != null

    override fun <T> decodeSerializableValue(deserializer: DeserializationStrategy<T>): T {
        val cell = cell
        val descriptor = deserializer.descriptor
        val found: Any? = when {
            cell is ByteArray && descriptor.serialName == "kotlin.ByteArray" -> cell
            cell is FloatArray && descriptor.serialName == "kotlin.FloatArray" -> cell
            cell is Instant && descriptor.serialName.endsWith("kotlin.time.Instant") -> cell
            cell is JsonElement -> return Json.decodeFromJsonElement(deserializer, cell)
            cell is FileRef -> cell
            else -> return deserializer.deserialize(this)
        }
        @Suppress("UNCHECKED_CAST")
        return found as T
    }

    override fun decodeBoolean(): Boolean = typed()

    override fun decodeByte(): Byte = integer(Byte.MIN_VALUE.toLong()..Byte.MAX_VALUE).toByte()

    override fun decodeShort(): Short = integer(Short.MIN_VALUE.toLong()..Short.MAX_VALUE).toShort()

    override fun decodeInt(): Int = integer(Int.MIN_VALUE.toLong()..Int.MAX_VALUE).toInt()

    override fun decodeLong(): Long = typed()

    override fun decodeFloat(): Float = decodeDouble().toFloat()

    override fun decodeDouble(): Double = when (val cell = cell) {
        is Double -> cell
        is Long -> cell.toDouble()
        is BigDecimal -> cell.toDouble()
        else -> wrong("a number")
    }

    override fun decodeChar(): Char = decodeString().singleOrNull() ?: wrong("one character")

    override fun decodeString(): String = when (val cell = cell) {
        is String -> cell
        is BigDecimal -> cell.toPlainString()
        is LocalDate, is LocalTime, is UUID, is Instant -> cell.toString()
        else -> wrong("a text")
    }

    override fun decodeEnum(enumDescriptor: SerialDescriptor): Int {
        val index = enumDescriptor.getElementIndex(decodeString())
        if (index == CompositeDecoder.UNKNOWN_NAME) wrong("one of ${enumDescriptor.serialName}")
        return index
    }

    /** The cell itself, for the types that cells have. */
    inline fun <reified C> typed(): C = cell as? C ?: wrong(C::class.simpleName!!)

    private fun integer(range: LongRange): Long = typed<Long>().also { if (it !in range) wrong("in $range") }

    private fun wrong(wanted: String): Nothing {
        val column = row!!.columns[place]
        val found = if (cell == null) "NULL" else "$cell"
        throw SerializationException("column \"${column.name}\" (${column.type}) has $found, which is not $wanted")
    }
}

/** Reads the cell itself; in JSON or elsewhere its text. */
private class CellSerializer<C : Any>(name: String, private val parse: (Any) -> C?) : KSerializer<C> {
    override val descriptor = PrimitiveSerialDescriptor("dev.kalamlive.$name", PrimitiveKind.STRING)

    override fun deserialize(decoder: Decoder): C {
        val found: Any = if (decoder is RowDecoder) decoder.typed<Any>() else decoder.decodeString()
        return parse(found) ?: throw SerializationException("$found is no ${descriptor.serialName}")
    }

    override fun serialize(encoder: Encoder, value: C) = encoder.encodeString(value.toString())
}

private val cells = SerializersModule {
    contextual(CellSerializer("BigDecimal") {
        when (it) {
            is BigDecimal -> it
            is Long -> BigDecimal.valueOf(it)
            is String -> it.toBigDecimalOrNull()
            else -> null
        }
    })
    contextual(CellSerializer("UUID") { it as? UUID ?: (it as? String)?.let(UUID::fromString) })
    contextual(CellSerializer("LocalDate") { it as? LocalDate ?: (it as? String)?.let(LocalDate::parse) })
    contextual(CellSerializer("LocalTime") { it as? LocalTime ?: (it as? String)?.let(LocalTime::parse) })
    contextual(CellSerializer("Instant") {
        (it as? Instant)?.toJavaInstant() ?: (it as? String)?.let(java.time.Instant::parse)
    })
}
