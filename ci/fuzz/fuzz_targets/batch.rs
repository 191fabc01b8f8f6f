//! The callback's JSON: what is accepted must survive the journal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix_wire::Batch;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = serde_json::from_slice::<Batch>(bytes) {
        let line = serde_json::to_string(&batch).expect("a batch is JSON");
        assert_eq!(serde_json::from_str::<Batch>(&line).expect("our own line"), batch);
    }
});
