// As much of Android as examples/kotlin uses, here and in the files beside this one, so that the examples are compiled and run.

package android.net

class Network

class ConnectivityManager {
    open class NetworkCallback {
        open fun onAvailable(network: Network) = Unit

        open fun onLost(network: Network) = Unit
    }

    val callbacks = ArrayList<NetworkCallback>()

    fun registerDefaultNetworkCallback(callback: NetworkCallback) {
        callbacks.add(callback)
    }
}
