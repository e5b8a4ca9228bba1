// As much of Network as examples/swift uses, for the tests where there is none.

import Dispatch

public struct NWPath: Sendable {}

public final class NWPathMonitor: @unchecked Sendable {
    public var pathUpdateHandler: (@Sendable (NWPath) -> Void)?
    public init() {}
    public func start(queue: DispatchQueue) { pathUpdateHandler?(NWPath()) }
}
