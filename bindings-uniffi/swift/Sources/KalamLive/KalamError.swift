import Foundation
import KalamLiveNative

/// Anything that the client, the connection or the server could not do.
///
/// Programs match on ``code``, which is stable and the same in every language: one of ``codes``. The message is for people and
/// may change. It never holds a password or token.
public struct KalamError: Error, Sendable, Hashable, CustomStringConvertible, LocalizedError {
    /// Stable, and the same in every language.
    public let code: String
    /// What happened and what to do, for a person.
    public let message: String
    /// Whether the same call may succeed when it is made again.
    public let retryable: Bool
    /// The server's own code, such as `TABLE_NOT_FOUND`, where it gave one.
    public let serverCode: String?

    public init(code: String, message: String, retryable: Bool = false, serverCode: String? = nil) {
        self.code = code
        self.message = message
        self.retryable = retryable
        self.serverCode = serverCode
    }

    /// Every ``code`` of this version.
    public static let codes: Set<String> = [
        "already_exists", "auth_failed", "closed", "config", "disconnected", "invalid_argument", "invalid_sql", "lagged",
        "not_found", "not_supported", "permission_denied", "protocol", "rate_limited", "server", "subscription_limit", "timeout",
        "unavailable",
    ]

    public var description: String { "\(message) (\([code, serverCode].compactMap { $0 }.joined(separator: ", ")))" }

    public var errorDescription: String? { message }
}

extension KalamError {
    init(_ failure: Failure) {
        self.init(
            code: failure.code, message: failure.text, retryable: failure.retryable, serverCode: failure.serverCode)
    }

    static func invalid(_ message: String) -> KalamError { KalamError(code: "invalid_argument", message: message) }

    static func config(_ message: String) -> KalamError { KalamError(code: "config", message: message) }
}

/// What the native half throws, as what programs catch.
func translated<R>(_ body: () throws -> R) throws -> R {
    do {
        return try body()
    } catch NativeError.Failed(let failure) {
        throw KalamError(failure)
    }
}
