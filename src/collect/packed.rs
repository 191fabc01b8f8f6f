//! A folder whose weights are quantised already, as `models quantize` writes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use webmatrix_engine::quant::Scheme;
use webmatrix_engine::weights::Head;
use webmatrix_wire::Precision;

use super::quantisation::Quantisation;

/// The outputs that the model gave for the folder's inputs before its weights were quantised.
pub(super) const FULL: &str = "full_precision.safetensors";

/// Keys of the metadata of quantised weights.
pub(super) const PRECISION: &str = "webmatrix.precision";
pub(super) const FIT: &str = "webmatrix.fit";
pub(super) const CALIBRATION: &str = "webmatrix.calibration";

/// A head longer than this is no safetensors file's.
const MOST_HEAD: u64 = 100_000_000;

/// What a folder of quantised weights says of them.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// At which they may be asked for.
    pub(super) precision: Precision,
    pub(super) how: Arc<Quantisation>,
    /// What the model gave at full precision for the inputs that it is run on; none if nobody kept it.
    pub(super) full: Option<Bytes>,
}

impl Packed {
    /// Reads the heads of the shards; none if no weight in them is quantised.
    ///
    /// # Errors
    /// Names the shard and what is wrong with it.
    pub(super) fn read(folder: &Path, shards: &[String]) -> Result<Option<Self>, (String, String)> {
        let mut whole = Head::default();
        for shard in shards {
            let fault = |reason: String| (shard.clone(), reason);
            let Some(json) = head(&folder.join(shard)).map_err(|error| fault(error.to_string()))? else {
                // Whoever loads it says better what it is.
                return Ok(None);
            };
            let Ok(head) = Head::read(shard, &json) else { return Ok(None) };
            whole.matrices.extend(head.matrices);
            whole.about.extend(head.about);
            for at in 0..2 {
                whole.weights[at] += head.weights[at];
                whole.bytes[at] += head.bytes[at];
            }
        }
        if whole.matrices.is_empty() {
            return Ok(None);
        }
        let told = whole.about.get(PRECISION).and_then(|name| name.parse().ok());
        let precision = told.filter(|precision| *precision != Precision::Fp32);
        let mut schemes = BTreeMap::new();
        for (scheme, _) in whole.matrices.values() {
            *schemes.entry(scheme.to_string()).or_default() += 1;
        }
        let bits = |at: usize| 8.0 * whole.bytes[at] as f64 / whole.weights[at].max(1) as f64;
        let how = Quantisation {
            schemes,
            fit: whole.about.get(FIT).cloned().unwrap_or_else(|| "not told".to_owned()),
            calibration: whole.about.get(CALIBRATION).cloned(),
            bits_per_weight: bits(0),
            bytes: whole.bytes[0] as u64,
            weights: whole.weights[0] as u64,
            model_bits_per_weight: bits(1),
            caches: None,
        };
        let precision =
            precision.unwrap_or_else(|| fewest(whole.matrices.values().map(|(scheme, _)| *scheme)));
        Ok(Some(Self { precision, how: Arc::new(how), full: None }))
    }
}

/// The precision of weights that do not say it: that of the fewest bits among them.
fn fewest(schemes: impl Iterator<Item = Scheme>) -> Precision {
    let precision = |scheme| match scheme {
        Scheme::Half => (16, Precision::Fp16),
        Scheme::Grouped { bits, .. } => match bits.count() {
            8 => (8, Precision::Int8),
            4 => (4, Precision::Int4),
            3 => (3, Precision::Int3),
            count => (count, Precision::Int2),
        },
    };
    schemes.map(precision).min_by_key(|(count, _)| *count).map_or(Precision::Fp16, |(_, precision)| precision)
}

/// The JSON at the beginning of a safetensors file; none if it has none.
fn head(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut length = [0; 8];
    if file.read_exact(&mut length).is_err() {
        return Ok(None);
    }
    let length = u64::from_le_bytes(length);
    if length > MOST_HEAD {
        return Ok(None);
    }
    let mut json = Vec::new();
    file.take(length).read_to_end(&mut json)?;
    Ok((json.len() as u64 == length).then_some(json))
}
