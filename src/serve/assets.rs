//! The files that every page loads: part of the program, so that an installed one needs no checkout.

use std::collections::HashMap;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

#[expect(unreachable_pub, reason = "written by the build script, which does not know where it is included")]
mod built {
    include!(concat!(env!("OUT_DIR"), "/harness_assets.rs"));
}

/// The page itself, and what it loads besides the harness.
static PAGES: &[(&str, &[u8])] = &[
    ("harness.html", include_bytes!("../../pages/harness.html")),
    ("harness.css", include_bytes!("../../pages/harness.css")),
    ("harness.js", include_bytes!("../../pages/harness.js")),
    ("worker.js", include_bytes!("../../pages/worker.js")),
    ("thread.js", include_bytes!("../../pages/thread.js")),
    ("heartbeat.js", include_bytes!("../../pages/heartbeat.js")),
    ("ort-web.js", include_bytes!("../../pages/ort-web.js")),
    ("witness.js", include_bytes!("../../pages/witness.js")),
];

/// A file, ready to be sent.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) bytes: &'static [u8],
    pub(super) content_type: &'static str,
    /// A hash of the bytes, quoted as HTTP wants it.
    pub(super) etag: String,
}

static TABLE: LazyLock<HashMap<String, Asset>> = LazyLock::new(|| {
    let pages = PAGES.iter().map(|(name, bytes)| (format!("page/{name}"), *bytes));
    let harness = built::HARNESS.iter().map(|(name, bytes)| (format!("harness/{name}"), *bytes));
    pages.chain(harness).map(|(name, bytes)| (name.clone(), asset(&name, bytes))).collect()
});

fn asset(name: &str, bytes: &'static [u8]) -> Asset {
    let hash = Sha256::digest(bytes);
    Asset { bytes, content_type: content_type(name), etag: format!("\"{}\"", hex::encode(&hash[..16])) }
}

/// The asset at a path such as `page/worker.js` or `harness/simd/harness_bg.wasm`.
pub(super) fn get(path: &str) -> Option<&'static Asset> {
    TABLE.get(path)
}

/// One hash over every harness build: runs record it, so that a result names the code that made it.
pub fn harness_hash() -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in built::HARNESS {
        hash.update(name.as_bytes());
        hash.update(Sha256::digest(bytes));
    }
    hex::encode(&hash.finalize()[..8])
}

/// Whether this program was built with the harness; without, no page can run a model.
pub fn has_harness() -> bool {
    !built::HARNESS.is_empty()
}

/// The media type of a file that a page may load.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::WIRE_VERSION;

    /// The worker's last resort speaks without the harness, which would know the version.
    #[test]
    fn the_workers_own_words_are_of_this_wire() {
        let worker = super::get("page/worker.js").map(|asset| String::from_utf8_lossy(asset.bytes));
        assert!(worker.is_some_and(|text| text.contains(&format!("wire_version: {WIRE_VERSION},"))));
    }
}
