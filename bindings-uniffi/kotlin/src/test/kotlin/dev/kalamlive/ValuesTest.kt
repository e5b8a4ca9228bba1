package dev.kalamlive

import kotlinx.serialization.Contextual
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.math.BigDecimal
import java.time.LocalDate
import java.time.LocalTime
import java.util.UUID
import kotlin.time.Instant

private const val COLUMNS = "id BIGINT PRIMARY KEY, b BOOLEAN, i INT, d DOUBLE, dec DECIMAL(18,4), t TEXT, ts TIMESTAMP, " +
    "da DATE, ti TIME, u UUID, js JSON, by BYTES, em EMBEDDING(3)"

/** Too far away for 64 bits of microseconds. */
private val FAR = Instant.fromEpochSeconds(Long.MAX_VALUE)

private const val ALL = "id, b, i, d, dec, t, ts, da, ti, u, js, by, em"

class ValuesTest {
    private val instant = Instant.parse("1969-12-31T23:59:59.999999Z")
    private val uuid = UUID.fromString("550e8400-e29b-41d4-a716-446655440000")
    private val json = buildJsonObject { put("a", 1) }
    private val cells: List<Any?> = listOf(
        Long.MAX_VALUE - 1, true, -7L, 0.1, BigDecimal("12.3400"), "héllo 🙂 \"q\"", instant, LocalDate.of(1969, 7, 20),
        LocalTime.of(3, 4, 5, 6000), uuid, json, byteArrayOf(0, -1, 127), floatArrayOf(1f, -2.5f, 0f),
    )

    private suspend fun KalamClient.insert(ns: String, values: List<Any?>): Long =
        execute("INSERT INTO $ns.t VALUES (${values.indices.joinToString { "$${it + 1}" }})", values)

    @Test
    fun `moments with a zone, and whole numbers of any size`() = test {
        place(COLUMNS) { client, ns ->
            val there = java.time.ZonedDateTime.parse("2026-01-02T03:04:05.000006+05:30[Asia/Kolkata]")
            for ((id, moment) in listOf(there, there.toOffsetDateTime(), there.toInstant()).withIndex()) {
                client.execute(
                    "INSERT INTO $ns.t (id, ts, dec) VALUES ($1, $2, $3)",
                    listOf(id, moment, java.math.BigInteger("12345678901234")),
                )
                val row = client.queryOne("SELECT ts, dec FROM $ns.t WHERE id = $id")!!
                assertEquals(Instant.parse("2026-01-01T21:34:05.000006Z"), row.instant("ts"))
                assertEquals(BigDecimal("12345678901234.0000"), row.decimal("dec"))
            }
            val local = failure { client.execute("INSERT INTO $ns.t (id, ts) VALUES (9, $1)", listOf(there.toLocalDateTime())) }
            assertTrue("atOffset" in local.message, local.message)
        }
    }

    @Test
    fun `every type of cell, there and back`() = test {
        place(COLUMNS) { client, ns ->
            client.insert(ns, cells)
            client.insert(ns, listOf(2L) + List<Any?>(12) { null })
            val rows = client.query("SELECT $ALL FROM $ns.t ORDER BY id")
            assertEquals(listOf(2L) + List<Any?>(12) { null }, rows[0].toList())
            val row = rows[1]
            assertEquals(cells.take(11), row.toList().take(11))
            assertArrayEquals(cells[11] as ByteArray, row.bytes("by"))
            assertArrayEquals(cells[12] as FloatArray, row.floats("em"))
            assertEquals(
                cells.take(11),
                with(row) {
                    listOf(
                        long("id"), boolean("b"), long("i"), double("d"), decimal("dec"), string("t"), instant("ts"),
                        date("da"), time("ti"), uuid("u"), json("js"),
                    )
                },
            )
            assertEquals(row, client.queryOne("SELECT $ALL FROM $ns.t WHERE id = $1", listOf(row["id"])))
            assertEquals("BIGINT", rows.columns[0].type)
            assertTrue(rows.columns[0].primaryKey)
            assertEquals("invalid_argument", failure { row.long("t") }.code)
            assertEquals("invalid_argument", failure { rows[0].string("t") }.code)
            assertEquals("invalid_argument", failure { row["nothing"] }.code)
        }
    }

    @Test
    fun `what no parameter can be`() = test {
        place("id BIGINT PRIMARY KEY, v TEXT") { client, ns ->
            for (value in listOf(Double.NaN, Float.POSITIVE_INFINITY, "\uD83D", Any(), mapOf(1 to 2), FAR)) {
                val failed = failure { client.execute("INSERT INTO $ns.t VALUES (1, $1)", listOf(value)) }
                assertEquals("invalid_argument", failed.code)
                assertTrue(failed.message.startsWith("parameter $1"), failed.message)
            }
            client.execute("INSERT INTO $ns.t VALUES ($1, $2)", listOf(1.toByte(), Phase.LIVE))
            assertEquals("LIVE", client.queryOne("SELECT v FROM $ns.t")!!.string("v"))
        }
    }

    @Serializable
    enum class Kind { @SerialName("small") SMALL, LARGE }

    @Serializable
    data class Nested(val a: Int)

    @Serializable
    data class Thing(
        val id: Long,
        @SerialName("i") val number: Int,
        @SerialName("t") val kind: Kind,
        val d: Float,
        @Contextual val dec: BigDecimal,
        val ts: Instant,
        @Contextual val da: LocalDate,
        @Contextual val ti: LocalTime,
        @Contextual val u: UUID,
        @SerialName("js") val nested: Nested,
        val by: ByteArray,
        val em: FloatArray,
        val b: Boolean? = true,
        val notThere: String = "default",
    )

    @Serializable
    data class Raw(val ts: @Contextual java.time.Instant, val js: JsonElement, val dec: String)

    @Serializable
    data class Small(val id: Byte)

    @Test
    fun `rows become classes`() = test {
        place(COLUMNS) { client, ns ->
            client.insert(ns, cells.toMutableList().also { it[1] = null; it[5] = "small" })
            val thing = client.queryOne<Thing>("SELECT * FROM $ns.t")!!
            assertEquals(Kind.SMALL, thing.kind)
            assertEquals(Nested(1), thing.nested)
            assertEquals(listOf(Long.MAX_VALUE - 1, -7, 0.1f), listOf(thing.id, thing.number, thing.d))
            assertEquals(listOf(cells[4], instant, cells[7], cells[8], uuid), with(thing) { listOf(dec, ts, da, ti, u) })
            assertArrayEquals(floatArrayOf(1f, -2.5f, 0f), thing.em)
            assertArrayEquals(byteArrayOf(0, -1, 127), thing.by)
            assertNull(thing.b)
            assertEquals("default", thing.notThere)
            val raw = client.queryAll<Raw>("SELECT * FROM $ns.t").single()
            assertEquals("1969-12-31T23:59:59.999999Z", raw.ts.toString())
            assertEquals(json, raw.js)
            assertEquals("12.3400", raw.dec)
            val row = client.queryOne("SELECT * FROM $ns.t")!!
            val failed = assertThrows(SerializationException::class.java) { row.decode<Small>() }
            assertTrue(failed.message!!.contains("column \"id\" (BIGINT) has 9223372036854775806"), failed.message)
        }
    }

    @Test
    fun `every error code is known`() {
        assertEquals(dev.kalamlive.internal.errorCodes().toSet(), KalamException.codes)
    }
}
