//! Safetensors files: a hostile header must be an error, never a panic or an endless allocation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix_engine::tensor::{read_safetensors, write_safetensors};
use webmatrix_engine::weights::{Head, Weights};

fuzz_target!(|bytes: &[u8]| {
    // What is said of quantised matrices, with their weights and without.
    drop(Head::read("fuzz", bytes));
    drop(Weights::of_shards(vec![("fuzz".to_owned(), bytes.to_vec())]));
    if let Ok(tensors) = read_safetensors("fuzz", bytes) {
        // What was read can be written, and is then read as the same.
        let again = write_safetensors(&tensors).expect("kernel types have a form in files");
        assert_eq!(read_safetensors("again", &again).expect("our own file").len(), tensors.len());
    }
});
