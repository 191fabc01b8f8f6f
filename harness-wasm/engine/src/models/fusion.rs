//! Attentional feature fusion (Dai et al. 2021), by which CLAP's audio tower sees a sound whole and in three cuts.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::Config;
use crate::models::layers::{Names, conv_norm};
use crate::ops::{Binary, Conv2d, Op, Reduce, Unary};

/// Spectra of a clip: the whole, made as short as a cut, and the cuts.
pub(super) const SPECTRA: usize = 4;

/// How two pictures of one size become one.
#[derive(Debug)]
pub(super) struct Fusion {
    channels: usize,
    /// Channels between the two convolutions that decide.
    inner: usize,
}

impl Fusion {
    /// Reads an `audio_config`, whose pictures have so many channels, if it has fusion.
    pub(super) fn new(config: &Config, channels: usize) -> Result<Option<Self>> {
        if !config.flag_or("enable_fusion", false)? {
            return Ok(None);
        }
        if config.text_or("fusion_type", "aff_2d")? == "channel_map" {
            let reason = "reads four spectra at once where the tower gives it one, in Hugging Face too";
            return Err(Error::config("fusion_type", "channel_map", reason));
        }
        let ratio = config.size_or("aff_block_r", 4)?;
        match channels / ratio {
            0 => Err(Error::config("aff_block_r", ratio, format!("leaves nothing of {channels} channels"))),
            inner => Ok(Some(Self { channels, inner })),
        }
    }

    /// `whole` and `cuts`, both `[batch, channels, height, width]`, each place a mean of theirs by what the place and the
    /// whole picture look like, and twice that.
    pub(super) fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        [whole, cuts]: [ValueId; 2],
    ) -> Result<ValueId> {
        b.scope(at.today());
        let &[batch, channels, height, width] = b.shape(whole) else {
            return Err(Error::shape("fusion", "pictures have rank 4"));
        };
        let both = b.add(whole, cuts)?;
        let flat = b.reshape(both, [batch, channels, height * width])?;
        let mean = b.op(Op::Reduce(Reduce::Mean), &[flat])?;
        let mean = b.reshape(mean, [batch, channels, 1, 1])?;
        // Modules in a row are known by their numbers, and the second row begins with the mean.
        let here = self.decide(b, &at.part("local_att"), 0, both)?;
        let everywhere = self.decide(b, &at.part("global_att"), 1, mean)?;
        let sum = b.add(here, everywhere)?;
        let share = b.unary(Unary::Sigmoid, sum)?;
        let difference = b.op(Op::Binary(Binary::Sub), &[whole, cuts])?;
        let difference = b.mul(difference, share)?;
        let y = b.add(cuts, difference)?;
        b.add(y, y)
    }

    /// Two convolutions of single places, of which the first is number `first` of the row at `at`.
    fn decide(&self, b: &mut GraphBuilder<'_>, at: &Names, first: usize, x: ValueId) -> Result<ValueId> {
        let layer = |b: &mut GraphBuilder<'_>, number: usize, to: usize, from: usize, x: ValueId| {
            let [conv, norm] = [number, number + 1].map(|number| at.part(&number.to_string()));
            conv_norm(b, Conv2d::default(), [&conv, &norm], true, [to, from, 1, 1], x)
        };
        let x = layer(b, first, self.inner, self.channels, x)?;
        let x = b.unary(Unary::Relu, x)?;
        layer(b, first + 3, self.channels, self.inner, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_that_cannot_be_honoured_are_refused_by_name() {
        let read = |text: &str| Fusion::new(&Config::parse("config.json", text.as_bytes()).unwrap(), 12);
        assert!(read("{}").unwrap().is_none());
        assert_eq!(read(r#"{"enable_fusion": true, "fusion_type": null}"#).unwrap().unwrap().inner, 3);
        for (text, field) in [
            (r#"{"enable_fusion": true, "fusion_type": "channel_map"}"#, "fusion_type"),
            (r#"{"enable_fusion": true, "aff_block_r": 13}"#, "aff_block_r"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config field {field} = ")), "{error}");
        }
    }
}
