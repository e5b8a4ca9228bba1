package androidx.compose.runtime

import kotlin.reflect.KProperty

@Target(AnnotationTarget.FUNCTION, AnnotationTarget.TYPE)
annotation class Composable

class State<T>(val value: T)

operator fun <T> State<T>.getValue(thisObj: Any?, property: KProperty<*>): T = value

/** The texts that were composed. */
val composed = ArrayList<String>()
