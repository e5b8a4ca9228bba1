// swift-tools-version: 6.0
import PackageDescription

// The native half. On Apple's platforms an XCFramework that scripts/xcframework builds; elsewhere, for the tests, the library
// that scripts/swift has put into build/lib.
#if os(macOS)
let ffi: [Target] = [.binaryTarget(name: "KalamLiveFFI", path: "build/KalamLiveFFI.xcframework")]
#else
let library = Context.packageDirectory + "/build/lib"
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
    targets: ffi + [
        // Written by uniffi-bindgen.
        .target(
            name: "KalamLiveNative",
            dependencies: ["KalamLiveFFI"],
            path: "build/KalamLiveNative",
            swiftSettings: [.swiftLanguageMode(.v5)]
        ),
        .target(name: "KalamLive", dependencies: ["KalamLiveNative"]),
        .executableTarget(name: "Bench", dependencies: ["KalamLive"], path: "Bench"),
        .testTarget(name: "KalamLiveTests", dependencies: ["KalamLive"]),
    ],
    swiftLanguageModes: [.v6]
)
