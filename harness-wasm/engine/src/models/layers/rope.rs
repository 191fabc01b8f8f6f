//! Rotary tables, as Hugging Face computes them: in float32 from float32 frequencies.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::Config;
use crate::ops::Op;
use crate::tensor::Tensor;

/// How the frequencies of a rotary embedding are spaced and scaled.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::models) struct Rope {
    /// Rotated channels of a head.
    rotated: usize,
    theta: f64,
    scaling: Scaling,
}

#[derive(Clone, Debug, PartialEq)]
enum Scaling {
    None,
    Linear {
        factor: f64,
    },
    /// The base grows with the sequence once that exceeds `original`.
    Dynamic {
        factor: f64,
        original: f64,
    },
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
    /// `first` to `last` frequency go over from kept to divided; cosines and sines are multiplied by `attention`.
    Yarn {
        factor: f64,
        attention: f64,
        first: f64,
        last: f64,
    },
    /// Each frequency is divided by its own factor: by one of `long` once the sequence exceeds `original`. Cosines and
    /// sines are multiplied by `attention`.
    Long {
        short: Vec<f64>,
        long: Vec<f64>,
        attention: f64,
        original: f64,
    },
}

/// A graph's rotary tables, with where its tokens begin.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct Rotary {
    cos: ValueId,
    sin: ValueId,
    position: ValueId,
}

impl Rotary {
    /// Rotates the heads side by side in `x [batch, tokens, heads * head_dim]`.
    pub(in crate::models) fn apply(
        &self,
        b: &mut GraphBuilder<'_>,
        heads: usize,
        x: ValueId,
    ) -> Result<ValueId> {
        b.op(Op::Rope { heads }, &[x, self.cos, self.sin, self.position])
    }
}

impl Rope {
    /// Reads `rope_parameters` (today's spelling) or `rope_theta` with `rope_scaling`, for heads of this
    /// width and a model made for `positions`.
    pub(in crate::models) fn new(config: &Config, head: usize, positions: usize) -> Result<Self> {
        let today = config.object("rope_parameters")?;
        let plain = config.number_or("rope_theta", 10_000.0)?;
        let (theta, partial, scaling) = match &today {
            Some(parameters) => (
                parameters.number_or("rope_theta", plain)?,
                parameters.number_or("partial_rotary_factor", 1.0)?,
                today.clone(),
            ),
            None => (plain, config.number_or("partial_rotary_factor", 1.0)?, config.object("rope_scaling")?),
        };
        if partial != 1.0 {
            return Err(Error::config("partial_rotary_factor", partial, "only 1 is implemented"));
        }
        // Tables are as wide as a head: a hostile width must not reach the allocator.
        if !head.is_multiple_of(2) || head > 1 << 16 {
            return Err(Error::config("head_dim", head, "rotary embedding needs an even width up to 65536"));
        }
        let scaling = match scaling {
            Some(scaling) => {
                // Phi-3 and its kin have it beside the rest; Hugging Face then takes it from there.
                let original = config.number("original_max_position_embeddings")?;
                let original = original.map_or_else(
                    || scaling.number_or("original_max_position_embeddings", positions as f64),
                    Ok,
                )?;
                Scaling::new(&scaling, head, theta, [original, positions as f64])?
            }
            None => Scaling::None,
        };
        Ok(Self { rotated: head, theta, scaling })
    }

    /// The tables for `context` positions, of which a prompt of `prompt` tokens is taken at once, in a graph
    /// whose tokens begin at `position`.
    pub(in crate::models) fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        [prompt, context]: [usize; 2],
        position: ValueId,
    ) -> Rotary {
        let (cos, sin) = self.tables(prompt, context);
        Rotary { cos: b.constant(cos), sin: b.constant(sin), position }
    }

    /// Cosines and sines, each `[positions, rotated / 2]`.
    fn tables(&self, prompt: usize, positions: usize) -> (Tensor, Tensor) {
        let half = self.rotated / 2;
        let frequencies = |length: usize| (0..half).map(|i| self.frequency(i, length)).collect::<Vec<f32>>();
        // A cached key keeps the rotation of the length at which it was computed.
        let grows = matches!(self.scaling, Scaling::Dynamic { .. } | Scaling::Long { .. });
        let fixed = frequencies(prompt);
        let mut angles = Vec::with_capacity(positions * half);
        for p in 0..positions {
            let grown = (grows && p >= prompt).then(|| frequencies(p + 1));
            angles.extend(grown.as_ref().unwrap_or(&fixed).iter().map(|w| p as f32 * w));
        }
        let magnitude = match self.scaling {
            Scaling::Yarn { attention, .. } | Scaling::Long { attention, .. } => attention,
            _ => 1.0,
        };
        let table = |f: fn(f64) -> f64| {
            let values = angles.iter().map(|angle| (f(f64::from(*angle)) * magnitude) as f32);
            Tensor::f32([positions, half], values.collect())
        };
        (table(libm::cos), table(libm::sin))
    }

    fn frequency(&self, i: usize, length: usize) -> f32 {
        let width = self.rotated as f64;
        let of = |theta: f64| 1.0 / libm::pow(theta, (2 * i) as f64 / width);
        let plain = of(self.theta);
        let scaled = match &self.scaling {
            Scaling::None => plain,
            Scaling::Linear { factor } => plain / factor,
            &Scaling::Dynamic { factor, original } => {
                let length = (length as f64).max(original);
                let growth = factor * length / original - (factor - 1.0);
                of(self.theta * libm::pow(growth, width / (width - 2.0)))
            }
            &Scaling::Llama3 { factor, low, high, original } => {
                let wavelength = 2.0 * PI / plain;
                if wavelength < original / high {
                    plain
                } else if wavelength > original / low {
                    plain / factor
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * plain / factor + smooth * plain
                }
            }
            &Scaling::Yarn { factor, first, last, .. } => {
                let divided = ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
                plain / factor * divided + plain * (1.0 - divided)
            }
            Scaling::Long { short, long, original, .. } => {
                plain / if length as f64 > *original { long[i] } else { short[i] }
            }
        };
        scaled as f32
    }
}

impl Scaling {
    /// Reads `config`, for a model that was first made for `original` positions and is now for `positions`.
    fn new(config: &Config, head: usize, theta: f64, [original, positions]: [f64; 2]) -> Result<Self> {
        let factor = config.number_or("factor", 1.0)?;
        if factor < 1.0 {
            return Err(Error::config("factor", factor, "a rotary factor is at least 1"));
        }
        Ok(match config.text_or("rope_type", config.text_or("type", "default")?)? {
            "default" => Self::None,
            "linear" => Self::Linear { factor },
            // Whatever is said of original positions: Hugging Face counts from today's.
            "dynamic" => Self::Dynamic { factor, original: positions },
            "llama3" => Self::Llama3 {
                factor,
                low: config.number_or("low_freq_factor", 1.0)?,
                high: config.number_or("high_freq_factor", 4.0)?,
                original,
            },
            "yarn" => Self::yarn(config, head as f64, theta, [original, positions])?,
            "longrope" => Self::long(config, head / 2, [original, positions])?,
            other => {
                let known = "only default, linear, dynamic, llama3, yarn and longrope are implemented";
                return Err(Error::config("rope_type", other, known));
            }
        })
    }

    /// LongRoPE (Ding et al. 2024): factors that were searched for, one a frequency.
    fn long(config: &Config, frequencies: usize, [original, positions]: [f64; 2]) -> Result<Self> {
        let factors = |field: &str| {
            let factors = config.numbers(field)?;
            let fits = factors.len() == frequencies && factors.iter().all(|factor| *factor > 0.0);
            let reason =
                || format!("must be {frequencies} positive numbers, one for each frequency of a head");
            if fits { Ok(factors) } else { Err(Error::config(field, format!("{factors:?}"), reason())) }
        };
        let factor = config.number_or("factor", positions / original)?;
        let own = if factor <= 1.0 { 1.0 } else { (1.0 + libm::log(factor) / libm::log(original)).sqrt() };
        Ok(Self::Long {
            short: factors("short_factor")?,
            long: factors("long_factor")?,
            attention: config.number_or("attention_factor", own)?,
            original,
        })
    }

    /// YaRN (Peng et al. 2023), equations 17 to 25.
    fn yarn(config: &Config, width: f64, theta: f64, [original, positions]: [f64; 2]) -> Result<Self> {
        let factor = config.number_or("factor", positions / original)?;
        let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * libm::log(factor) + 1.0 };
        let own = match (config.number("mscale")?, config.number("mscale_all_dim")?) {
            (Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => magnitude(scale) / magnitude(all),
            _ => magnitude(1.0),
        };
        let attention = config.number_or("attention_factor", own)?;
        // The dimension that turns this often within the original length.
        let turning =
            |turns: f64| width * libm::log(original / (turns * 2.0 * PI)) / (2.0 * libm::log(theta));
        let (first, last) =
            (turning(config.number_or("beta_fast", 32.0)?), turning(config.number_or("beta_slow", 1.0)?));
        let (first, last) = if config.flag_or("truncate", true)? {
            (libm::floor(first), libm::ceil(last))
        } else {
            (first, last)
        };
        let (first, mut last) = (first.max(0.0), last.min(width - 1.0));
        if first == last {
            // As Hugging Face: a ramp needs a length.
            last += 0.001;
        }
        Ok(Self::Yarn { factor, attention, first, last })
    }
}
