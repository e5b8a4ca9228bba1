package androidx.compose.material3

import androidx.compose.runtime.Composable
import androidx.compose.runtime.composed
import androidx.compose.ui.Modifier

@Composable
fun Text(text: String) {
    composed.add(text)
}

@Composable
fun ListItem(headlineContent: @Composable () -> Unit, modifier: Modifier = Modifier) = headlineContent()
