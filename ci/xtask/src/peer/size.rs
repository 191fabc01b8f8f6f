//! What a page downloads before it can compute: our module and the other's, as they are and compressed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;

use crate::say;
use crate::setup;
use crate::workspace::Workspace;

/// What the lines' names begin with.
pub(super) const NAME: &str = "module_bytes";

/// The other's files for each backend, as `pages/ort-web.js` loads them.
const PEER: [(&str, [&str; 3]); 2] = [
    ("wasm", ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]),
    (
        "webgpu+webnn",
        ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
    ),
];

/// Prints a line for each of the other's builds and each size. Ours is one module with every backend in it.
pub(super) fn tell(ws: &Workspace, filter: &[String], jsonl: bool) -> Result<()> {
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|part| name.contains(part.as_str()));
    let compressed = format!("{NAME}_brotli");
    let ours = ["harness.js", "harness_bg.wasm"].map(|file| ws.harness().join("relaxed").join(file));
    for (backend, files) in PEER {
        let theirs = files.map(|file| setup::ort_web_dist(ws).join(file));
        if wanted(NAME) {
            line(NAME, backend, sum(&ours, raw)?, sum(&theirs, raw)?, jsonl);
        }
        if wanted(&compressed) {
            // The same bytes each time, and a minute's work: kept beside the subjects.
            let kept = ws.tools.join("peer").join(format!("{}-{backend}.brotli", setup::ORT_WEB_VERSION));
            let known = fs::read_to_string(&kept).ok().and_then(|text| text.parse().ok());
            let peer = match known {
                Some(bytes) => bytes,
                None => {
                    let bytes = sum(&theirs, brotli)?;
                    fs::write(&kept, bytes.to_string())?;
                    bytes
                }
            };
            line(&compressed, backend, sum(&ours, brotli)?, peer, jsonl);
        }
    }
    Ok(())
}

fn sum(files: &[PathBuf], size: fn(&Path) -> Result<u64>) -> Result<u64> {
    files.iter().map(|file| size(file).with_context(|| format!("could not read {}", file.display()))).sum()
}

fn raw(file: &Path) -> Result<u64> {
    Ok(fs::metadata(file)?.len())
}

/// As servers compress files once, for good: the best that brotli does.
fn brotli(file: &Path) -> Result<u64> {
    let params = BrotliEncoderParams { quality: 11, lgwin: 24, ..BrotliEncoderParams::default() };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut fs::read(file)?.as_slice(), &mut out, &params)?;
    Ok(out.len() as u64)
}

/// In the columns of `webmatrix bench`; a size has no spread.
fn line(name: &str, backend: &str, ours: u64, peer: u64, jsonl: bool) {
    let ratio = peer as f64 / ours as f64;
    say::result(if jsonl {
        serde_json::json!({
            "name": name, "backend": backend, "browser": "any", "threads": 1, "ours": ours, "peer": peer,
            "unit": "bytes", "ratio": ratio, "lo": ratio, "hi": ratio, "pairs": 1, "note": null,
        })
        .to_string()
    } else {
        format!("{name}  {backend}  ours {ours} peer {peer} bytes  ratio {ratio:.2}")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_makes_what_repeats_small() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, vec![7; 100_000]).unwrap();
        assert_eq!(raw(&file).unwrap(), 100_000);
        assert!((1..100).contains(&brotli(&file).unwrap()));
    }
}
