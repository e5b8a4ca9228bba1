// As much of SwiftUI as examples/swift uses, for the tests where there is none: signatures as in Apple's.

@MainActor public protocol View {
    associatedtype Body: View
    @ViewBuilder @MainActor var body: Body { get }
}

extension Never: View { public var body: Never { fatalError("it has no body") } }

@resultBuilder public struct ViewBuilder {
    public static func buildBlock<Part: View>(_ part: Part) -> Part { part }
    public static func buildBlock<each Part: View>(_ part: repeat each Part) -> Parts<repeat each Part> { Parts() }
    public static func buildIf<Part: View>(_ part: Part?) -> Part? { part }
}

public struct Parts<each Part: View>: View {
    nonisolated init() {}
    public var body: Never { fatalError("it has no body") }
}

extension Optional: View where Wrapped: View { public var body: Never { fatalError("it has no body") } }

/// The texts that were made, for a test to look at.
@MainActor public var texts: [String] = []

public struct Text: View {
    public init<S: StringProtocol>(_ text: S) { texts.append(String(text)) }
    public var body: Never { fatalError("it has no body") }
}

public struct List<Content: View>: View {
    public init(@ViewBuilder content: () -> Content) { _ = content() }
    public var body: Never { fatalError("it has no body") }
}

public struct ForEach<Data: RandomAccessCollection, Content: View>: View where Data.Element: Identifiable {
    public init(_ data: Data, @ViewBuilder content: @escaping (Data.Element) -> Content) {
        for element in data { _ = content(element) }
    }
    public var body: Never { fatalError("it has no body") }
}

@MainActor @propertyWrapper public struct State<Value> {
    private final class Box { var value: Value; init(_ value: Value) { self.value = value } }
    private let box: Box
    public init(wrappedValue: Value) { box = Box(wrappedValue) }
    public var wrappedValue: Value {
        get { box.value }
        nonmutating set { box.value = newValue }
    }
}

public struct Animation: Sendable { public static let `default` = Animation() }

/// The actions of the views that were made, for a test to run.
@MainActor public var tasks: [@Sendable () async -> Void] = []

public struct Modified<Content: View>: View {
    let content: Content
    public var body: Never { fatalError("it has no body") }
}

extension View {
    public func animation<V: Equatable>(_ animation: Animation?, value: V) -> some View { Modified(content: self) }
    public func overlay<V: View>(@ViewBuilder content: () -> V) -> some View {
        _ = content()
        return Modified(content: self)
    }
    public func task<T: Equatable>(
        id value: T, @_inheritActorContext _ action: @escaping @Sendable () async -> Void
    ) -> some View {
        tasks.append(action)
        return Modified(content: self)
    }
}
