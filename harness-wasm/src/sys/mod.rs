//! The only place that touches JavaScript. Hand-declared, because WebNN is in no binding crate and of
//! WebGPU a dozen calls are needed.

pub(crate) mod gpu;

use std::cell::Cell;

pub(crate) use js_sys::Function;
use js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(js_name = fetch, catch)]
    async fn js_fetch(url: &str, options: &Object) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: f64, argument: &JsValue) -> JsValue;
}

/// Milliseconds on the page's monotonic clock.
pub(crate) fn now() -> f64 {
    performance_now()
}

/// A property, `undefined` if absent or forbidden.
pub(crate) fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// A text property, empty if absent.
pub(crate) fn text(object: &JsValue, name: &str) -> String {
    get(object, name).as_string().unwrap_or_default()
}

/// A numeric property, 0 if absent.
pub(crate) fn number(object: &JsValue, name: &str) -> f64 {
    get(object, name).as_f64().unwrap_or_default()
}

/// A truth value, false if absent.
pub(crate) fn flag(object: &JsValue, name: &str) -> bool {
    get(object, name).as_bool().unwrap_or_default()
}

/// Sets a property of an object made here.
pub(crate) fn set(object: &JsValue, name: &str, value: &JsValue) {
    // Fails on frozen objects and proxies only, and ours are neither.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}

/// An object with these properties.
pub(crate) fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

/// The worker's global scope.
pub(crate) fn global() -> Object {
    js_sys::global()
}

/// `navigator`.
pub(crate) fn navigator() -> JsValue {
    get(&global(), "navigator")
}

/// An error in the browser's own words.
pub(crate) fn words(error: &JsValue) -> String {
    let (name, message) = (text(error, "name"), text(error, "message"));
    match (name.is_empty(), message.is_empty()) {
        (false, false) => format!("{name}: {message}"),
        (false, true) => name,
        (true, false) => message,
        (true, true) => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    }
}

/// Calls a method by name: for interfaces that are in no binding crate.
pub(crate) fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = get(object, method)
        .dyn_into()
        .map_err(|_| JsValue::from_str(&format!("{method} is not a function here")))?;
    let list: js_sys::Array = arguments.iter().collect();
    function.apply(object, &list)
}

/// As [`call`], awaiting the promise that comes back.
pub(crate) async fn call_async(
    object: &JsValue,
    method: &str,
    arguments: &[JsValue],
) -> Result<JsValue, JsValue> {
    let promise = call(object, method, arguments)?;
    JsFuture::from(Promise::resolve(&promise)).await
}

/// Awaits `promise`, but not longer than `ms`: some of them never settle.
pub(crate) async fn within(ms: f64, what: &str, promise: &Promise) -> Result<JsValue, JsValue> {
    let late = JsValue::from(Object::new());
    let timeout = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, ms, &late);
    });
    match JsFuture::from(Promise::race(&js_sys::Array::of2(promise, &timeout))).await {
        // The very object, which nobody else can have.
        Ok(value) if value == late => {
            Err(JsValue::from_str(&format!("{what} did not settle within {ms} ms")))
        }
        other => other,
    }
}

/// Waits.
pub(crate) async fn pause(ms: f64) {
    let pause = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, ms, &JsValue::UNDEFINED);
    });
    // A timer's promise never rejects.
    let _ = JsFuture::from(pause).await;
}

/// Lets the event loop run: messages are delivered and timers fire.
pub(crate) async fn breathe() {
    pause(0.0).await;
}

/// An HTTP exchange with the controller.
pub(crate) async fn fetch(
    url: &str,
    method: &str,
    headers: &Object,
    body: &JsValue,
) -> Result<Vec<u8>, String> {
    fetch_part(url, method, headers, body).await.map(|(bytes, _)| bytes)
}

/// As [`fetch`], with the length of the whole where what came is a part.
pub(crate) async fn fetch_part(
    url: &str,
    method: &str,
    headers: &Object,
    body: &JsValue,
) -> Result<(Vec<u8>, Option<usize>), String> {
    let options = object(&[("method", method.into()), ("headers", headers.into())]);
    if !body.is_undefined() {
        set(&options, "body", body);
    }
    let failed = |error: JsValue| format!("{method} {url}: {}", words(&error));
    let response = js_fetch(url, &options).await.map_err(failed)?;
    let buffer: ArrayBuffer =
        call_async(&response, "arrayBuffer", &[]).await.map_err(failed)?.unchecked_into();
    let bytes = Uint8Array::new(&buffer).to_vec();
    if flag(&response, "ok") {
        let range = call(&get(&response, "headers"), "get", &["content-range".into()]).ok();
        let whole = range.and_then(|range| range.as_string()?.rsplit_once('/')?.1.parse().ok());
        Ok((bytes, whole))
    } else {
        Err(format!("{method} {url}: {} {}", number(&response, "status"), String::from_utf8_lossy(&bytes)))
    }
}

thread_local! {
    static LOST: Cell<bool> = const { Cell::new(false) };
}

/// Remembers that the GPU device was lost, whichever call notices first.
pub(crate) fn device_was_lost(lost: Option<bool>) -> bool {
    LOST.with(|flag| {
        if let Some(lost) = lost {
            flag.set(lost);
        }
        flag.get()
    })
}
