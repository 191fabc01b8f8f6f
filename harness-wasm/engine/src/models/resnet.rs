//! ResNet (He et al. 2015) as a backbone: images in, a feature map out. Batch norm is frozen.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::Config;
use crate::models::layers::{Names, conv_norm};
use crate::ops::{Conv2d, MaxPool2d, Op, Unary};

/// A ResNet up to the stage whose feature map is wanted.
#[derive(Debug)]
pub(super) struct ResNet {
    spelling: Spelling,
    pub(super) channels: usize,
    /// Channels of the stem.
    stem: usize,
    stages: Vec<Stage>,
    block: Kind,
    activation: Unary,
}

/// Whose names the weights have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Transformers,
    Timm,
}

/// What a block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Two 3x3 convolutions, the first of which strides.
    Basic,
    /// A 3x3 convolution between two 1x1 ones, with a quarter of the channels. The first 1x1 strides if `early`,
    /// else the 3x3.
    Bottleneck { early: bool },
}

/// Blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stage {
    /// Channels.
    to: usize,
    blocks: usize,
    /// Of the first block.
    stride: usize,
    /// Of the 3x3 convolutions: the first block's, then the others'.
    dilations: [usize; 2],
}

/// A convolution of a block.
#[derive(Clone, Copy, Debug)]
struct Conv {
    to: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
}

impl ResNet {
    /// Reads transformers' `ResNetConfig`.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let widths = config.sizes_or("hidden_sizes", &[256, 512, 1024, 2048])?;
        let depths = config.sizes_or("depths", &[3, 4, 6, 3])?;
        if widths.len() != depths.len() || widths.is_empty() {
            let reason = format!("must have as many members as hidden_sizes {widths:?}, one at least");
            return Err(Error::config("depths", format!("{depths:?}"), reason));
        }
        let early = config.flag_or("downsample_in_bottleneck", false)?;
        let block = match config.text_or("layer_type", "bottleneck")? {
            "basic" => Kind::Basic,
            "bottleneck" => Kind::Bottleneck { early },
            other => {
                return Err(Error::config("layer_type", other, "only basic and bottleneck are implemented"));
            }
        };
        let first = if config.flag_or("downsample_in_first_stage", false)? { 2 } else { 1 };
        let stage = |(i, (&to, blocks))| Stage {
            to,
            blocks,
            stride: if i == 0 { first } else { 2 },
            dilations: [1, 1],
        };
        let mut stages: Vec<Stage> = widths.iter().zip(depths).enumerate().map(stage).collect();
        stages.truncate(last_stage(config, Spelling::Transformers, stages.len())?);
        Ok(Self {
            spelling: Spelling::Transformers,
            channels: config.size_or("num_channels", 3)?,
            stem: config.size_or("embedding_size", 64)?,
            stages,
            block,
            activation: config.activation("hidden_act", "relu")?,
        })
    }

    /// The ResNet that timm calls `backbone`, its feature map no smaller than the image by `output_stride`. `config`
    /// says which stage is wanted.
    pub(super) fn timm(
        config: &Config,
        backbone: &str,
        channels: usize,
        output_stride: usize,
    ) -> Result<Self> {
        // A name may say, after a dot, which weights it was published with.
        let (block, depths) = match backbone.split('.').next().unwrap_or_default() {
            "resnet18" => (Kind::Basic, [2, 2, 2, 2]),
            "resnet34" => (Kind::Basic, [3, 4, 6, 3]),
            "resnet50" => (Kind::Bottleneck { early: false }, [3, 4, 6, 3]),
            "resnet101" => (Kind::Bottleneck { early: false }, [3, 4, 23, 3]),
            "resnet152" => (Kind::Bottleneck { early: false }, [3, 8, 36, 3]),
            _ => {
                let reason = "only resnet18, resnet34, resnet50, resnet101 and resnet152 are implemented";
                return Err(Error::config("backbone", backbone, reason));
            }
        };
        if ![8, 16, 32].contains(&output_stride) {
            return Err(Error::config("output_stride", output_stride, "timm knows 8, 16 and 32"));
        }
        let expansion = if block == Kind::Basic { 1 } else { 4 };
        let mut stages = Vec::new();
        // As timm: where the map would become too small, gaps between taps take the place of steps, from the
        // stage's second block on.
        let (mut total, mut dilation) = (4, 1);
        for (i, blocks) in depths.into_iter().enumerate() {
            let before = dilation;
            let mut stride = if i == 0 { 1 } else { 2 };
            if total >= output_stride {
                dilation *= stride;
                stride = 1;
            }
            total *= stride;
            stages.push(Stage { to: (64 << i) * expansion, blocks, stride, dilations: [before, dilation] });
        }
        stages.truncate(last_stage(config, Spelling::Timm, stages.len())?);
        Ok(Self { spelling: Spelling::Timm, channels, stem: 64, stages, block, activation: Unary::Relu })
    }

    /// Channels of the feature map.
    pub(super) fn to(&self) -> usize {
        self.stages.last().map_or(self.stem, |stage| stage.to)
    }

    /// Height and width of the feature map of an image.
    pub(super) fn size(&self, image: [usize; 2]) -> [usize; 2] {
        // The stem halves twice, and every convolution is padded so that only its stride shrinks.
        let strides = [2, 2].into_iter().chain(self.stages.iter().map(|stage| stage.stride));
        strides.fold(image, |size, stride| size.map(|n| n.div_ceil(stride)))
    }

    /// `[batch, channels, height, width]` pixels to the feature map.
    pub(super) fn build(&self, b: &mut GraphBuilder<'_>, at: &Names, pixels: ValueId) -> Result<ValueId> {
        let [conv, norm] = match self.spelling {
            Spelling::Transformers => {
                ["embedder.embedder.convolution", "embedder.embedder.normalization"].map(|name| at.part(name))
            }
            Spelling::Timm => ["conv1", "bn1"].map(|name| at.part(name)),
        };
        b.scope(conv.today());
        let stem = Conv { to: self.stem, kernel: 7, stride: 2, dilation: 1 };
        let x = stem.build(b, [&conv, &norm], pixels)?;
        let x = b.unary(self.activation, x)?;
        let pool = MaxPool2d { window: [3, 3], strides: [2, 2], padding: [1; 4] };
        let mut x = b.op(Op::MaxPool2d(pool), &[x])?;
        for (i, stage) in self.stages.iter().enumerate() {
            for block in 0..stage.blocks {
                let at = match self.spelling {
                    Spelling::Transformers => at.part(&format!("encoder.stages.{i}.layers.{block}")),
                    Spelling::Timm => at.part(&format!("layer{}.{block}", i + 1)),
                };
                x = self.block(b, &at, *stage, block == 0, x)?;
            }
        }
        Ok(x)
    }

    fn block(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        stage: Stage,
        first: bool,
        x: ValueId,
    ) -> Result<ValueId> {
        b.scope(at.today());
        let stride = if first { stage.stride } else { 1 };
        let [before, within] = stage.dilations;
        let dilation = if first { before } else { within };
        let to = stage.to;
        let convs = match self.block {
            Kind::Basic => vec![
                Conv { to, kernel: 3, stride, dilation },
                Conv { to, kernel: 3, stride: 1, dilation: within },
            ],
            Kind::Bottleneck { early } => {
                let narrow = to / 4;
                let [outer, inner] = if early { [stride, 1] } else { [1, stride] };
                vec![
                    Conv { to: narrow, kernel: 1, stride: outer, dilation: 1 },
                    Conv { to: narrow, kernel: 3, stride: inner, dilation },
                    Conv { to, kernel: 1, stride: 1, dilation: 1 },
                ]
            }
        };
        let mut y = x;
        for (i, conv) in convs.iter().enumerate() {
            if i > 0 {
                // Whatever `hidden_act` says: it follows stem and sums only.
                y = b.unary(Unary::Relu, y)?;
            }
            let names = match self.spelling {
                Spelling::Transformers => {
                    ["convolution", "normalization"].map(|part| at.part(&format!("layer.{i}.{part}")))
                }
                Spelling::Timm => ["conv", "bn"].map(|part| at.part(&format!("{part}{}", i + 1))),
            };
            y = conv.build(b, names.each_ref(), y)?;
        }
        let residual = if b.shape(x)[1] == to && stride == 1 {
            x
        } else {
            let names = match self.spelling {
                Spelling::Transformers => ["shortcut.convolution", "shortcut.normalization"],
                Spelling::Timm => ["downsample.0", "downsample.1"],
            };
            let names = names.map(|name| at.part(name));
            Conv { to, kernel: 1, stride, dilation: 1 }.build(b, names.each_ref(), x)?
        };
        let sum = b.add(y, residual)?;
        b.unary(self.activation, sum)
    }
}

impl Conv {
    /// The convolution and its batch norm, on `x [batch, from, height, width]`.
    fn build(self, b: &mut GraphBuilder<'_>, names: [&Names; 2], x: ValueId) -> Result<ValueId> {
        let op = Conv2d {
            strides: [self.stride; 2],
            padding: [self.kernel / 2 * self.dilation; 4],
            dilations: [self.dilation; 2],
            groups: 1,
        };
        let shape = [self.to, b.shape(x)[1], self.kernel, self.kernel];
        conv_norm(b, op, names, false, shape, x)
    }
}

/// How many of a backbone's stages lead to the last of the feature maps that `out_features` or `out_indices` asks for;
/// map 0 is the stem's. Without either it is the last stage's.
fn last_stage(config: &Config, spelling: Spelling, stages: usize) -> Result<usize> {
    let (field, wanted) = match (config.get("out_features"), config.get("out_indices")) {
        (Some(names), _) => ("out_features", names),
        (None, Some(indices)) => ("out_indices", indices),
        (None, None) => return Ok(stages),
    };
    // timm's map 0 is taken before the stem's pool, and so is none of this backbone's.
    let (prefix, first) = match spelling {
        Spelling::Transformers => ("stage", 0),
        Spelling::Timm => ("layer", 1),
    };
    let at = |value: &serde_json::Value| -> Option<usize> {
        match (value.as_str(), value.as_i64()) {
            (Some("stem"), _) => Some(0),
            (Some(name), _) => name.strip_prefix(prefix)?.parse().ok().filter(|&at| at > 0),
            (_, Some(index)) if index < 0 => {
                (stages + 1).checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
            }
            (_, Some(index)) => usize::try_from(index).ok(),
            _ => None,
        }
    };
    let all: Option<Vec<usize>> = wanted.as_array().and_then(|all| all.iter().map(at).collect());
    match all.as_ref().and_then(|all| all.iter().max()) {
        Some(last) if (first..=stages).contains(last) => Ok(*last),
        _ => Err(Error::config(field, wanted, format!("must name some of the {stages} stages"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("config.json", text.as_bytes()).unwrap()
    }

    #[test]
    fn dilation_takes_the_place_of_the_last_step() {
        let plain = ResNet::timm(&config("{}"), "resnet50", 3, 32).unwrap();
        assert_eq!((plain.size([800, 1066]), plain.to()), ([25, 34], 2048));
        let dilated = ResNet::timm(&config("{}"), "resnet50.a1_in1k", 3, 16).unwrap();
        assert_eq!(dilated.size([800, 1066]), [50, 67]);
        let (last, third) = (dilated.stages[3], dilated.stages[2]);
        assert_eq!((third.stride, third.dilations), (2, [1, 1]));
        assert_eq!((last.stride, last.dilations), (1, [1, 2]));
        assert!(ResNet::timm(&config("{}"), "resnet50d", 3, 32).is_err());
    }

    #[test]
    fn the_last_map_asked_for_is_the_end() {
        for (text, stages) in [
            ("{}", 4),
            (r#"{"out_features": ["stage1", "stage3"]}"#, 3),
            (r#"{"out_features": ["stem"]}"#, 0),
            (r#"{"out_indices": [1, 2]}"#, 2),
            (r#"{"out_indices": [-1]}"#, 4),
        ] {
            assert_eq!(ResNet::new(&config(text)).unwrap().stages.len(), stages, "{text}");
        }
        for text in [r#"{"out_features": ["stage5"]}"#, r#"{"out_indices": [-6]}"#, r#"{"out_indices": []}"#]
        {
            assert!(ResNet::new(&config(text)).is_err(), "{text}");
        }
        let timm = |text: &str| ResNet::timm(&config(text), "resnet18", 3, 32);
        assert_eq!(timm(r#"{"out_features": ["layer1", "layer3"]}"#).unwrap().stages.len(), 3);
        assert!(timm(r#"{"out_indices": [0]}"#).is_err());
    }
}
