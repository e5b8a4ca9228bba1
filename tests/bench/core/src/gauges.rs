//! What a measured client reads off itself and off its clock. Shared with `peer-kalam-client`, like `control`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::control::Failure;

/// Resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

/// Microseconds since the epoch, as paced frames carry them in `at`.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64
}

/// Latencies in microseconds, boiled down.
pub(crate) fn percentiles(mut latencies: Vec<i64>) -> Value {
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len().saturating_sub(1) as f64 * share) as usize);
    json!({"seen": latencies.len(), "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0)})
}
