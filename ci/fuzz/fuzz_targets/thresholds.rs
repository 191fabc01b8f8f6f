//! Thresholds: refused with line and column or read, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix::plan::Thresholds;

fuzz_target!(|text: &str| {
    // Both answers are fine; only a panic is not.
    let _ = Thresholds::parse("fuzz.toml", text);
});
