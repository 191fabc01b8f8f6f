//! `config.json` and `preprocessor_config.json` of every class: refused by name or read, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webmatrix_engine::frontend::Preprocessor;
use webmatrix_engine::models::{Config, model};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::parse("fuzz", bytes) {
        for class in ["bert", "llama", "vit"] {
            // Both answers are fine; only a panic is not.
            let _ = model(class, &config);
        }
        let _ = Preprocessor::read(&config);
    }
});
