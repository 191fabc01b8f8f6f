//! A ledger of claims: refused with line and column or read, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix::plan::Claims;

fuzz_target!(|text: &str| {
    // Both answers are fine; only a panic is not.
    let _ = Claims::parse("fuzz.toml", text);
});
