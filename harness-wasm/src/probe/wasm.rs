//! WebAssembly: one tiny module a feature, since an engine says what it knows by validating.

use std::collections::BTreeMap;

use js_sys::{Function, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use webmatrix_wire::WasmFacts;

use crate::sys::{call, get, global, object};

const HEADER: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// Feature and the sections of a module that uses it, in binary format.
const MODULES: [(&str, &[u8]); 6] = [
    // () -> v128: i8x16.splat
    ("simd", &[1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 8, 1, 6, 0, 0x41, 0, 0xfd, 15, 11]),
    // () -> v128: f32x4.relaxed_madd
    (
        "relaxed-simd",
        &[
            1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 19, 1, 17, 0, 0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15,
            0x41, 0, 0xfd, 15, 0xfd, 0x85, 2, 11,
        ],
    ),
    // Shared memory; () -> i32: i32.atomic.load
    (
        "threads",
        &[
            1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 10, 1, 8, 0, 0x41, 0, 0xfe, 0x10, 2,
            0, 11,
        ],
    ),
    // Memory; () -> (): memory.fill
    (
        "bulk-memory",
        &[
            1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 10, 13, 1, 11, 0, 0x41, 0, 0x41, 0, 0x41, 0,
            0xfc, 11, 0, 11,
        ],
    ),
    // () -> (): return_call 0
    ("tail-call", &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 0x12, 0, 11]),
    // A memory indexed by i64
    ("memory64", &[5, 3, 1, 4, 1]),
];

pub(super) fn probe() -> WasmFacts {
    let mut features: BTreeMap<String, bool> =
        MODULES.iter().map(|(name, sections)| ((*name).to_owned(), validates(sections))).collect();
    let web_assembly = get(&global(), "WebAssembly");
    features.insert("jspi".into(), get(&web_assembly, "Suspending").is_function());
    WasmFacts { features, shared_memory: shared_memory(&web_assembly) }
}

fn validates(sections: &[u8]) -> bool {
    let module = Uint8Array::from([&HEADER[..], sections].concat().as_slice());
    let verdict = call(&get(&global(), "WebAssembly"), "validate", &[module.into()]);
    verdict.ok().and_then(|verdict| verdict.as_bool()).unwrap_or(false)
}

fn shared_memory(web_assembly: &JsValue) -> bool {
    let Ok(memory) = get(web_assembly, "Memory").dyn_into::<Function>() else { return false };
    let options = object(&[("initial", 1.into()), ("maximum", 1.into()), ("shared", true.into())]);
    Reflect::construct(&memory, &js_sys::Array::of1(&options)).is_ok()
}
