//! HTTP to the controller, with the attempt's token.

use js_sys::{Object, Uint8Array};
use wasm_bindgen::JsValue;
use webmatrix_wire::{AttemptId, Batch};

use crate::sys::{breathe, fetch, fetch_part, object};

/// Speaks to the controller for one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(attempt: &AttemptId, token: &str) -> Self {
        Self { base: format!("/api/attempts/{attempt}"), token: token.to_owned() }
    }

    fn headers(&self, content_type: Option<&str>) -> Object {
        let headers = object(&[("authorization", format!("Bearer {}", self.token).into())]);
        if let Some(content_type) = content_type {
            crate::sys::set(&headers, "content-type", &content_type.into());
        }
        headers
    }

    /// Fetches a file of the job by its name.
    pub(crate) async fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        self.part(name, None).await.map(|(bytes, _)| bytes)
    }

    /// Fetches a file, or so many bytes of it from an offset on, with the length of the whole where a part came.
    pub(crate) async fn part(
        &self,
        name: &str,
        part: Option<(usize, usize)>,
    ) -> Result<(Vec<u8>, Option<usize>), String> {
        let headers = self.headers(None);
        if let Some((from, bytes)) = part {
            let range = format!("bytes={from}-{}", from + bytes.max(1) - 1);
            crate::sys::set(&headers, "range", &range.as_str().into());
        }
        let url = format!("{}/files/{name}", self.base);
        fetch_part(&url, "GET", &headers, &JsValue::UNDEFINED).await
    }

    /// Posts a batch. Tries again, because acceptance is idempotent and a lost batch is lost evidence.
    pub(crate) async fn post(&self, batch: &Batch) -> Result<(), String> {
        let body = serde_json::to_string(batch).map_err(|error| format!("batch: {error}"))?;
        let mut last = String::new();
        for _ in 0..3 {
            let headers = self.headers(Some("application/json"));
            match fetch(&format!("{}/messages", self.base), "POST", &headers, &body.as_str().into()).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
            breathe().await;
        }
        Err(last)
    }

    /// Uploads the outputs, a safetensors file.
    pub(crate) async fn put_outputs(&self, bytes: &[u8]) -> Result<(), String> {
        let headers = self.headers(Some("application/octet-stream"));
        let body = Uint8Array::from(bytes);
        fetch(&format!("{}/outputs", self.base), "PUT", &headers, &body).await.map(|_| ())
    }
}
