// Out of the tunnel: Android knows first. Needs the permission ACCESS_NETWORK_STATE.

import android.net.ConnectivityManager
import android.net.Network
import dev.kalamlive.KalamClient

fun ConnectivityManager.tell(client: KalamClient) = registerDefaultNetworkCallback(
    object : ConnectivityManager.NetworkCallback() {
        override fun onAvailable(network: Network) = client.network.changed()

        override fun onLost(network: Network) = client.network.changed()
    },
)
