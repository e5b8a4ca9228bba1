import Foundation
import Testing

@testable import KalamLive

private let table = "id BIGINT PRIMARY KEY, f FILE"

/// What the scenarios do not have: files of this machine, and uploads that are given up.
@Suite struct FilesTests {
    @Test func aFileOfThisMachine() async throws {
        let photo = FileManager.default.temporaryDirectory.appendingPathComponent("cat \(UUID().uuidString).png")
        try Data([0, 255, 7]).write(to: photo)
        defer { try? FileManager.default.removeItem(at: photo) }
        let (client, ns) = try await place(table)
        let told = Shared<[UploadProgress]>([])
        try await client.executeWithFiles(
            "INSERT INTO \(ns).t VALUES ($1, FILE(\"it\"))", [1],
            files: ["it": FileUpload(contentsOf: photo, mime: "image/png")]
        ) { progress in told.change { $0.append(progress) } }
        #expect(told.get().last == UploadProgress(sentBytes: 3, totalBytes: 3))
        #expect(Set(told.get()).count == told.get().count)
        let file = try #require(try await client.queryOne("SELECT f FROM \(ns).t")).file("f")
        #expect(file.name == photo.lastPathComponent && file.mime == "image/png" && file.size == 3)
        let download = try await client.downloadFile(file, table: "\(ns).t")
        #expect(download == FileDownload(content: Data([0, 255, 7]), mime: "image/png"))
        await client.close()
    }

    @Test func uploadsThatAreGivenUp() async throws {
        let (client, ns) = try await place(table)
        let sql = "INSERT INTO \(ns).t VALUES (1, FILE(\"it\"))"
        let files = ["it": FileUpload(Data(count: 5_000_000))]
        let call = Task { try await client.executeWithFiles(sql, files: files) { _ in } }
        call.cancel()
        await #expect(throws: CancellationError.self) { try await call.value }
        await client.close()
        #expect(try await failure { try await client.executeWithFiles(sql, files: files) }.code == "closed")
    }
}
