// The package as an Android library (AAR), of the same sources as the jar: ../../scripts/android builds what it takes from ../build.
// The versions of the plugins are those of the project that includes it.
plugins {
    id("com.android.library")
    kotlin("android")
    kotlin("plugin.serialization")
}

android {
    namespace = "dev.kalamlive"
    compileSdk = 36
    defaultConfig {
        minSdk = 26 // java.time; 24 with core library desugaring
        consumerProguardFiles("consumer-rules.pro")
    }
    sourceSets.getByName("main") {
        kotlin.srcDirs("../src/main/kotlin", "../build/generated")
        jniLibs.srcDirs("../build/jniLibs")
    }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.11.0")
    api("org.jetbrains.kotlinx:kotlinx-serialization-json:1.13.0")
    implementation("net.java.dev.jna:jna:5.19.1@aar")
}
