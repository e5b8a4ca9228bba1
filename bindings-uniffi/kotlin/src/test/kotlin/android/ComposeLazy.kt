package androidx.compose.foundation.lazy

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

object LazyItemScope {
    fun Modifier.animateItem(): Modifier = this
}

object LazyListScope {
    fun item(key: Any? = null, content: @Composable LazyItemScope.() -> Unit) = LazyItemScope.content()
}

fun <T> LazyListScope.items(
    items: List<T>,
    key: ((item: T) -> Any)? = null,
    itemContent: @Composable LazyItemScope.(item: T) -> Unit,
) {
    check(key == null || items.map(key).toSet().size == items.size) { "keys are unique" }
    for (item in items) LazyItemScope.itemContent(item)
}

@Composable
fun LazyColumn(content: LazyListScope.() -> Unit) = LazyListScope.content()
