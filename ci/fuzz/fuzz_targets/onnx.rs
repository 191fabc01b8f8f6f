//! ONNX files: refused in words or read, never a panic, an allocation that a length made up, or a full stack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix::collect::check_onnx;

fuzz_target!(|bytes: &[u8]| {
    // Both answers are fine; only a crash is not.
    let _ = check_onnx(bytes);
});
