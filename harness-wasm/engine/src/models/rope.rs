//! Rotary tables, as Hugging Face computes them: in float32 from float32 frequencies.

use crate::error::{Error, Result};
use crate::models::Config;
use crate::tensor::Tensor;

/// How the frequencies of a rotary embedding are spaced and scaled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rope {
    /// Rotated channels of a head.
    pub(super) rotated: usize,
    theta: f64,
    scaling: Scaling,
}

#[derive(Clone, Debug, PartialEq)]
enum Scaling {
    None,
    Linear { factor: f64 },
    Llama3 { factor: f64, low: f64, high: f64, original: f64 },
}

impl Rope {
    /// Reads `rope_parameters` (today's spelling) or `rope_theta` with `rope_scaling`.
    pub(super) fn new(config: &Config, head: usize) -> Result<Self> {
        let today = config.object("rope_parameters")?;
        let scaling = match &today {
            Some(parameters) => Some(parameters.clone()),
            None => config.object("rope_scaling")?,
        };
        let theta = match &today {
            Some(parameters) => {
                parameters.number_or("rope_theta", config.number_or("rope_theta", 10_000.0)?)?
            }
            None => config.number_or("rope_theta", 10_000.0)?,
        };
        let partial = match &today {
            Some(parameters) => parameters.number_or("partial_rotary_factor", 1.0)?,
            None => config.number_or("partial_rotary_factor", 1.0)?,
        };
        if partial != 1.0 {
            return Err(Error::config("partial_rotary_factor", partial, "only 1 is implemented"));
        }
        if !head.is_multiple_of(2) {
            return Err(Error::config("head_dim", head, "rotary embedding needs an even width"));
        }
        let Some(scaling) = scaling else { return Ok(Self { rotated: head, theta, scaling: Scaling::None }) };
        let kind = scaling.text_or("rope_type", scaling.text_or("type", "default")?)?;
        let scaling = match kind {
            "default" => Scaling::None,
            "linear" => Scaling::Linear { factor: scaling.number_or("factor", 1.0)? },
            "llama3" => Scaling::Llama3 {
                factor: scaling.number_or("factor", 1.0)?,
                low: scaling.number_or("low_freq_factor", 1.0)?,
                high: scaling.number_or("high_freq_factor", 4.0)?,
                original: scaling.number_or("original_max_position_embeddings", 8192.0)?,
            },
            other => {
                return Err(Error::config(
                    "rope_type",
                    other,
                    "only default, linear and llama3 are implemented",
                ));
            }
        };
        Ok(Self { rotated: head, theta, scaling })
    }

    /// Cosines and sines, each `[positions, rotated / 2]`.
    pub(super) fn tables(&self, positions: usize) -> (Tensor, Tensor) {
        let half = self.rotated / 2;
        let frequencies: Vec<f32> = (0..half).map(|i| self.frequency(i)).collect();
        let table = |f: fn(f64) -> f64| {
            let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |w| p as f32 * w));
            Tensor::f32([positions, half], angles.map(|angle| f(f64::from(angle)) as f32).collect())
        };
        (table(libm::cos), table(libm::sin))
    }

    fn frequency(&self, i: usize) -> f32 {
        let exponent = (2 * i) as f64 / self.rotated as f64;
        let plain = 1.0 / libm::pow(self.theta, exponent);
        match self.scaling {
            Scaling::None => plain as f32,
            Scaling::Linear { factor } => (plain / factor) as f32,
            Scaling::Llama3 { factor, low, high, original } => {
                let wavelength = 2.0 * std::f64::consts::PI / plain;
                if wavelength < original / high {
                    plain as f32
                } else if wavelength > original / low {
                    (plain / factor) as f32
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    ((1.0 - smooth) * plain / factor + smooth * plain) as f32
                }
            }
        }
    }
}
