package dev.kalamlive

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonArray
import kotlinx.serialization.json.buildJsonObject
import java.math.BigDecimal
import java.math.BigInteger
import java.time.LocalDate
import java.time.LocalDateTime
import java.time.LocalTime
import java.time.OffsetDateTime
import java.time.ZonedDateTime
import java.util.Base64
import java.util.UUID
import kotlin.time.Instant
import kotlin.time.toKotlinInstant

/**
 * Kotlin values as the parameters `$1`, `$2`, ... of a statement, written as JSON with their types for
 * `bindings-common/src/params.rs`.
 *
 * | Kotlin | parameter |
 * |---|---|
 * | `null`, [Boolean], [String] | NULL, BOOLEAN, TEXT |
 * | [Byte], [Short], [Int], [Long] | BIGINT |
 * | [Float], [Double] | DOUBLE |
 * | [Instant], [java.time.Instant], [OffsetDateTime], [ZonedDateTime] | TIMESTAMP |
 * | [BigDecimal], [BigInteger], [LocalDate], [LocalTime], [UUID], enums | their text |
 * | [ByteArray], [FloatArray] | BYTES, EMBEDDING |
 * | [JsonElement], maps and lists of such | JSON |
 */
internal fun encodeParams(params: List<Any?>): String? {
    if (params.isEmpty()) return null
    return JsonArray(params.mapIndexed { i, value -> encode(value, "parameter $${i + 1}") }).toString()
}

private fun encode(value: Any?, where: String): JsonElement = when (value) {
    null -> JsonNull
    is Boolean -> JsonPrimitive(value)
    is String -> JsonPrimitive(wellFormed(value, where))
    is Byte, is Short, is Int, is Long -> typed("int", JsonPrimitive(value.toString()))
    is Float -> typed("float", JsonPrimitive(finite(value.toDouble(), where)))
    is Double -> typed("float", JsonPrimitive(finite(value, where)))
    is Instant -> typed("timestamp", JsonPrimitive(microseconds(value, where).toString()))
    is java.time.Instant -> encode(value.toKotlinInstant(), where)
    is OffsetDateTime -> encode(value.toInstant(), where)
    is ZonedDateTime -> encode(value.toInstant(), where)
    is LocalDateTime -> throw invalid("$where is a LocalDateTime, which is no moment: give it a zone, such as atOffset(ZoneOffset.UTC)")
    is BigDecimal -> JsonPrimitive(value.toPlainString())
    is BigInteger, is LocalDate, is LocalTime, is UUID -> JsonPrimitive(value.toString())
    is Enum<*> -> JsonPrimitive(value.name)
    is ByteArray -> typed("bytes", JsonPrimitive(Base64.getEncoder().encodeToString(value)))
    is FloatArray -> typed("embedding", buildJsonArray { value.forEach { add(JsonPrimitive(finite(it.toDouble(), where))) } })
    is JsonElement, is Map<*, *>, is List<*> -> typed("json", JsonPrimitive(json(value, where).toString()))
    else -> throw invalid("$where is a ${value::class.simpleName}, which no column type holds")
}

private fun typed(type: String, value: JsonElement): JsonElement = buildJsonObject { put(type, value) }

private fun json(value: Any?, where: String): JsonElement = when (value) {
    null -> JsonNull
    is JsonElement -> value
    is Boolean -> JsonPrimitive(value)
    is String -> JsonPrimitive(wellFormed(value, where))
    is Float -> JsonPrimitive(finite(value.toDouble(), where))
    is Double -> JsonPrimitive(finite(value, where))
    is Number -> JsonPrimitive(value)
    is Map<*, *> -> buildJsonObject {
        value.forEach { (key, part) ->
            put(key as? String ?: throw invalid("$where has a key that is no text"), json(part, where))
        }
    }
    is List<*> -> JsonArray(value.map { json(it, where) })
    else -> throw invalid("$where has a ${value::class.simpleName}, which JSON does not have")
}

private fun finite(number: Double, where: String): Double {
    if (!number.isFinite()) throw invalid("$where is $number, which is no finite number")
    return number
}

private fun microseconds(instant: Instant, where: String): Long =
    try {
        Math.addExact(Math.multiplyExact(instant.epochSeconds, 1_000_000L), instant.nanosecondsOfSecond / 1000L)
    } catch (_: ArithmeticException) {
        throw invalid("$where is $instant, which is too far away for a TIMESTAMP")
    }

private fun wellFormed(text: String, where: String): String {
    var i = 0
    while (i < text.length) {
        val pair = text[i].isHighSurrogate() && i + 1 < text.length && text[i + 1].isLowSurrogate()
        if (!pair && text[i].isSurrogate()) throw invalid("$where has half of a surrogate pair, which is no text")
        i += if (pair) 2 else 1
    }
    return text
}
