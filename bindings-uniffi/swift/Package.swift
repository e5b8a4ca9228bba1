// swift-tools-version: 6.0
import PackageDescription

// The native half. On Apple's platforms an XCFramework that scripts/xcframework builds; elsewhere, for the tests, the library
// that scripts/swift has put into build/lib.
#if os(macOS)
let testing: [LinkerSetting] = []
let apple: [Target] = []
let ffi: [Target] = [.binaryTarget(name: "KalamLiveFFI", path: "build/KalamLiveFFI.xcframework")]
#else
let library = Context.packageDirectory + "/build/lib"
// Observation of Swift 6.0 on Linux lacks a symbol that is called only to report a broken thread library.
let testing: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "--unresolved-symbols=ignore-in-shared-libs"])]
// What the examples use of Apple's frameworks.
let apple: [Target] = ["SwiftUI", "UIKit", "Network"].map { .target(name: $0, path: "Tests/Apple/\($0)") }
let ffi: [Target] = [
    .target(
        name: "KalamLiveFFI",
        path: "build/KalamLiveFFI",
        linkerSettings: [
            .unsafeFlags(["-L\(library)", "-lkalam_live_native", "-Xlinker", "-rpath", "-Xlinker", library])
        ]
    )
]
#endif

let package = Package(
    name: "KalamLive",
    platforms: [.iOS(.v16), .macOS(.v13), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
    products: [.library(name: "KalamLive", targets: ["KalamLive"])],
    targets: ffi + apple + [
        // Written by uniffi-bindgen.
        .target(
            name: "KalamLiveNative",
            dependencies: ["KalamLiveFFI"],
            path: "build/KalamLiveNative",
            swiftSettings: [.swiftLanguageMode(.v5)]
        ),
        .target(name: "KalamLive", dependencies: ["KalamLiveNative"]),
        .executableTarget(name: "Bench", dependencies: ["KalamLive"], path: "Bench"),
        .testTarget(
            name: "KalamLiveTests",
            dependencies: ["KalamLive"] + apple.map { .byName(name: $0.name) },
            linkerSettings: testing
        ),
    ],
    swiftLanguageModes: [.v6]
)
