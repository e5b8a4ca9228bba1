import Foundation
import KalamLiveNative

#if canImport(UniformTypeIdentifiers)
    import UniformTypeIdentifiers
#endif

/// A file for ``KalamClient/executeWithFiles(_:_:files:onProgress:)``.
public struct FileUpload: Sendable, Hashable, CustomStringConvertible {
    public var content: Data
    /// The name that it is stored under; without it that of its placeholder.
    public var name: String?
    /// What it is, such as `image/png`.
    public var mime: String?

    public init(_ content: Data, name: String? = nil, mime: String? = nil) {
        (self.content, self.name, self.mime) = (content, name, mime)
    }

    /// A file of this machine; on Apple's platforms its type is guessed by its name. Reads it at once.
    public init(contentsOf url: URL, mime: String? = nil) throws {
        self.init(try Data(contentsOf: url), name: url.lastPathComponent, mime: mime)
        #if canImport(UniformTypeIdentifiers)
            self.mime = mime ?? UTType(filenameExtension: url.pathExtension)?.preferredMIMEType
        #endif
    }

    public var description: String { "FileUpload(\(name ?? "nil"), \(mime ?? "nil"), \(content.count) bytes)" }
}

/// How far an upload is: bytes of all files together.
public struct UploadProgress: Sendable, Hashable {
    /// So many bytes are on their way.
    public let sentBytes: Int
    /// So many there are.
    public let totalBytes: Int
}

/// A downloaded file.
public struct FileDownload: Sendable, Hashable {
    /// The bytes.
    public let content: Data
    /// What the server says that it is.
    public let mime: String?
}

/// Tells progress when there was some.
private actor Telling {
    private let sent: NativeSent
    private let total: Int
    private let onProgress: @Sendable (UploadProgress) -> Void
    private var told: UInt64?

    init(_ sent: NativeSent, _ total: Int, _ onProgress: @escaping @Sendable (UploadProgress) -> Void) {
        (self.sent, self.total, self.onProgress) = (sent, total, onProgress)
    }

    func now() {
        let bytes = sent.bytes()
        if bytes == told { return }
        told = bytes
        onProgress(UploadProgress(sentBytes: Int(bytes), totalBytes: total))
    }
}

/// How often is looked whether more was sent.
private let lookAgain: UInt64 = 50_000_000

/// Waits for an upload, and tells of its progress meanwhile.
private func uploaded(
    _ handle: NativeHandle, _ sent: NativeSent, _ total: Int, _ onProgress: (@Sendable (UploadProgress) -> Void)?
) async throws -> Int {
    guard let onProgress else { return try await handle.answer() }
    let telling = Telling(sent, total, onProgress)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask {
            while !Task.isCancelled {
                await telling.now()
                try? await Task.sleep(nanoseconds: lookAgain)
            }
        }
        let changed: Int = try await handle.answer()
        group.cancelAll()
        try await group.waitForAll()
        await telling.now()
        return changed
    }
}

extension KalamClient {
    /// Executes one statement with files and returns how many rows it has changed. `FILE("name")` in it stands for the file of
    /// that name in `files`. `onProgress` is called now and then while they are sent. It is sent once: without an answer it may
    /// have been applied.
    ///
    /// ```swift
    /// let photo = try FileUpload(contentsOf: URL(fileURLWithPath: "cat.png"))
    /// try await client.executeWithFiles("INSERT INTO app.pets VALUES ($1, FILE(\"photo\"))", [1], files: ["photo": photo])
    /// ```
    ///
    /// Throws `invalid_argument` for a file that the statement does not name, or one that it names and is not there.
    @discardableResult
    public func executeWithFiles(
        _ sql: String, _ params: [(any Parameter)?] = [], files: [String: FileUpload],
        onProgress: (@Sendable (UploadProgress) -> Void)? = nil
    ) async throws -> Int {
        let uploads = files.map { placeholder, file in
            Upload(placeholder: placeholder, name: file.name ?? placeholder, mime: file.mime, content: file.content)
        }
        let sent = NativeSent()
        let handle = try native().executeWithFiles(sql: sql, params: encode(params), files: uploads, sent: sent)
        return try await uploaded(handle, sent, files.values.reduce(0) { $0 + $1.content.count }, onProgress)
    }

    /// The bytes of the file that a cell of `table` refers to; `user` is whose table it is, for those who may read the files of
    /// others. Throws `not_found` when there is no such file.
    public func downloadFile(_ file: FileRef, table: String, user: String? = nil) async throws -> FileDownload {
        let reference = String(decoding: try JSONEncoder().encode(file), as: UTF8.self)
        let rows = try await native().downloadFile(file: reference, table: table, user: user).rows { $0 }
        var mime: String?
        if case .text(let text)? = rows[0]["mime"] { mime = text }
        return FileDownload(content: try rows[0].bytes("content"), mime: mime)
    }
}
