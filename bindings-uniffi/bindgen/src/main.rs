//! `kalam-live-bindgen generate -l kotlin ...`, or `kalam-live-bindgen --swift-sources ...` for Swift.

fn main() {
    if std::env::args().any(|argument| argument.starts_with("--swift-sources") || argument == "--headers") {
        uniffi::uniffi_bindgen_swift();
    } else {
        uniffi::uniffi_bindgen_main();
    }
}
