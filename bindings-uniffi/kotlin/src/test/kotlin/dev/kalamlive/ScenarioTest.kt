package dev.kalamlive

import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.double
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import java.io.File
import kotlin.time.Duration.Companion.seconds

/** Plays `tests/scenarios` through the public API, against the embedded server or the one at `KALAM_TEST_URL`. */
class ScenarioTest {
    @TestFactory
    fun scenarios(): List<DynamicTest> {
        val files = File("../../tests/scenarios").listFiles { file -> file.extension == "json" }!!.sorted()
        assertTrue(files.size > 20, "there are scenarios")
        return files.map { file -> DynamicTest.dynamicTest(file.name) { play(file) } }
    }

    private fun play(file: File) = runBlocking {
        val env = System.getenv()
        val url = env["KALAM_TEST_URL"]
        val ns = "k${ProcessHandle.current().pid()}_${file.nameWithoutExtension.replace('-', '_')}"
        val scenario = Json.parseToJsonElement(file.readText().replace("{ns}", ns)).jsonObject
        val visibility = scenario["topic_visibility"]?.jsonPrimitive?.double?.seconds
        // Known of our own server only.
        if (url != null && visibility != null) return@runBlocking
        val own = visibility?.let { EmbeddedServer.start(rootPassword = PASSWORD, topicVisibility = it) }
        val options = ConnectOptions(
            url = url ?: (own ?: server).url,
            user = if (url == null) "root" else env["KALAM_TEST_USER"],
            password = if (url == null) PASSWORD else env["KALAM_TEST_PASSWORD"],
        )
        val client = KalamClient.connect(options)
        client.execute("CREATE NAMESPACE $ns")
        val here = if (url == null) "complete" else "incomplete"
        val player = Player(options, client, isComplete = url == null)
        try {
            for (step in scenario.getValue("steps").jsonArray.map { it.jsonObject }) {
                if ((step.text("only") ?: here) == here) withTimeout(60.seconds) { player.play(step) }
            }
        } finally {
            player.leave()
            client.execute("DROP NAMESPACE $ns CASCADE")
            client.closeAndWait()
            own?.closeAndWait()
        }
    }
}
