import Foundation
import KalamLiveNative

/// An embedded server in this process, that other clients connect to: for tests, previews and products without a network. It
/// stops when nobody holds it any more.
public final class EmbeddedServer: Sendable {
    private let native: NativeServer
    /// Where clients connect, such as `http://127.0.0.1:2900`.
    public let url: String
    /// The password of `root`; `nil` when it was set by an earlier start on the same directory.
    public let rootPassword: String?

    private init(_ native: NativeServer) {
        self.native = native
        url = native.url() ?? ""
        rootPassword = native.rootPassword()
    }

    /// Starts one, in `directory` or in memory; `port` 0 is any free one. Without `rootPassword` one is generated when the data
    /// is created. A consumer may hold a record of a topic for `topicVisibility` seconds (30) before it is delivered again.
    /// Throws `config`; `not_supported` when the native library was built without it.
    public static func start(
        directory: String? = nil, port: UInt16 = 0, rootPassword: String? = nil,
        topicVisibility: TimeInterval? = nil
    ) async throws -> EmbeddedServer {
        let native = NativeServer()
        let starting = try translated {
            try native.start(
                directory: directory, rootPassword: rootPassword, port: port, topicVisibility: topicVisibility)
        }
        try await starting.done()
        return EmbeddedServer(native)
    }

    /// Stops the server. May be called often.
    public func close() async { try? await native.stop().done() }
}
