package android.view

class Context

open class View(val context: Context)

open class ViewGroup(context: Context) : View(context)
