//! The audio tower of CLAP: HTS-AT (Chen et al. 2022), a Swin transformer over a folded spectrogram.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::Config;
use crate::models::fusion::{Fusion, SPECTRA};
use crate::models::layers::{Linear, MultiHead, Names, batch_norm, layer_norm, weight};
use crate::ops::{Attention, Conv2d, Op, Reduce, Unary};
use crate::tensor::Tensor;

/// What `audio_config` says.
#[derive(Debug)]
pub(super) struct Swin {
    pub(super) mels: usize,
    /// Side of the square that spectrograms are folded into.
    spec: usize,
    patch: [usize; 2],
    stride: [usize; 2],
    /// Channels of the first stage; each further one doubles them.
    channels: usize,
    depths: Vec<usize>,
    heads: Vec<usize>,
    window: usize,
    mlp_ratio: f64,
    qkv_bias: bool,
    patch_norm: bool,
    pub(super) fusion: Option<Fusion>,
    activation: Unary,
    epsilon: f64,
}

/// PyTorch's default, of the norms that the config does not reach.
const EPSILON: f64 = 1e-5;
/// Added to the score of a pair that a cyclic shift brought together.
const STRANGERS: f32 = -100.0;

/// A stage's picture.
#[derive(Clone, Copy, Debug)]
struct Picture {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Swin {
    pub(super) fn new(config: &Config) -> Result<Self> {
        config.require_flag("flatten_patch_embeds", true)?;
        if config.size_or("patch_embed_input_channels", 1)? != 1 {
            let only = "only one channel is implemented";
            return Err(Error::config("patch_embed_input_channels", "", only));
        }
        let channels = config.size_or("patch_embeds_hidden_size", 96)?;
        let swin = Self {
            mels: config.size_or("num_mel_bins", 64)?,
            spec: config.size_or("spec_size", 256)?,
            patch: config.size_pair_or("patch_size", 4)?,
            stride: config.size_pair_or("patch_stride", 4)?,
            channels,
            depths: config.sizes_or("depths", &[2, 2, 6, 2])?,
            heads: config.sizes_or("num_attention_heads", &[4, 8, 16, 32])?,
            window: config.size_or("window_size", 8)?,
            mlp_ratio: config.number_or("mlp_ratio", 4.0)?,
            qkv_bias: config.flag_or("qkv_bias", true)?,
            patch_norm: config.flag_or("enable_patch_layer_norm", true)?,
            fusion: Fusion::new(config, channels)?,
            activation: config.activation("hidden_act", "gelu")?,
            epsilon: config.number_or("layer_norm_eps", 1e-5)?,
        };
        if swin.heads.len() != swin.depths.len() || swin.depths.is_empty() {
            let reason = format!("must be as many as num_attention_heads, {}", swin.heads.len());
            return Err(Error::config("depths", format!("{:?}", swin.depths), reason));
        }
        if swin.mels > swin.spec || !swin.spec.is_multiple_of(swin.ratio()) {
            let reason = format!("does not hold whole pieces of {} mels", swin.mels);
            return Err(Error::config("spec_size", swin.spec, reason));
        }
        let wide = swin.patch[1] * (SPECTRA - 1);
        if swin.fusion.is_some() && wide > swin.spec {
            let reason = format!("does not hold the patches of cuts, which are {wide} wide");
            return Err(Error::config("spec_size", swin.spec, reason));
        }
        for (stage, &heads) in swin.heads.iter().enumerate() {
            let (channels, sides) = (swin.channels << stage, swin.stride.map(|s| (swin.spec / s) >> stage));
            if channels % heads != 0 || sides.iter().any(|&side| side < swin.window) {
                return Err(Error::config(
                    "num_attention_heads",
                    heads,
                    format!(
                        "stage {stage} is {sides:?} by {channels} channels, with windows of {}",
                        swin.window
                    ),
                ));
            }
        }
        Ok(swin)
    }

    /// How many square pieces of a spectrogram are stacked.
    const fn ratio(&self) -> usize {
        self.spec / self.mels
    }

    /// The most frames that a spectrogram may have.
    pub(super) const fn frames(&self) -> usize {
        self.spec * self.ratio()
    }

    /// Channels of the result.
    pub(super) fn out_channels(&self) -> usize {
        self.channels << (self.depths.len() - 1)
    }

    /// Log-mel features `[batch, spectra, frames, mels]` to the mean over the last stage, `[batch, channels]`. Where there
    /// is fusion, `longer [batch, 1]` says whose spectra are fused; of the others the first is taken.
    pub(super) fn encode(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        x: ValueId,
        longer: Option<ValueId>,
    ) -> Result<ValueId> {
        b.scope(at.part("batch_norm").today());
        let &[batch, spectra, frames, mels] = b.shape(x) else { unreachable!("prepared: rank 4") };
        let [scale, shift] = batch_norm(b, &at.part("batch_norm"), mels, EPSILON)?;
        let x = b.mul(x, scale)?;
        let x = b.add(x, shift)?;
        let x = b.reshape(x, [batch * spectra, frames, mels])?;
        let x = self.fold(b, x)?;
        let mut x = self.patches(b, &at.part("patch_embed"), x, longer)?;
        for stage in 0..self.depths.len() {
            let [height, width] = self.stride.map(|stride| (self.spec / stride) >> stage);
            let picture = Picture { batch, height, width, channels: self.channels << stage };
            let at = at.part(&format!("layers.{stage}"));
            for block in 0..self.depths[stage] {
                let shift =
                    if block % 2 == 0 || height.min(width) <= self.window { 0 } else { self.window / 2 };
                let at = at.part(&format!("blocks.{block}"));
                x = self.block(b, &at, x, picture, self.heads[stage], shift)?;
            }
            if stage + 1 < self.depths.len() {
                x = merge(b, &at.part("downsample"), x, picture)?;
            }
        }
        b.scope(at.part("norm").today());
        let x = layer_norm(b, &at.part("norm"), EPSILON, x)?;
        let x = b.transpose(x, &[0, 2, 1])?;
        let x = b.op(Op::Reduce(Reduce::Mean), &[x])?;
        b.reshape(x, [batch, self.out_channels()])
    }

    /// `[batch, frames, mels]`, stretched to full length and cut into pieces that lie one above the other.
    fn fold(&self, b: &mut GraphBuilder<'_>, mut x: ValueId) -> Result<ValueId> {
        let &[batch, frames, mels] = b.shape(x) else { unreachable!("rank 3: reshaped") };
        if frames < self.frames() {
            let stretch = b.constant(bicubic(frames, self.frames()));
            x = b.op(Op::Matmul, &[stretch, x])?;
        }
        let (ratio, height) = (self.ratio(), self.spec / self.ratio());
        let x = b.reshape(x, [batch, ratio, self.spec, mels])?;
        let mut x = b.transpose(x, &[0, 1, 3, 2])?;
        if mels < height {
            if frames < self.frames() {
                let reason = "a spectrogram that is too small both ways is not implemented: pad the audio";
                return Err(Error::input("input_features", reason));
            }
            let stretch = b.constant(bicubic(mels, height));
            x = b.op(Op::Matmul, &[stretch, x])?;
        }
        b.reshape(x, [batch, 1, self.spec, self.spec])
    }

    /// Pictures `[batch * spectra, 1, height, width]` to `[batch, patches, channels]`.
    fn patches(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        x: ValueId,
        longer: Option<ValueId>,
    ) -> Result<ValueId> {
        b.scope(at.today());
        let x = match (&self.fusion, longer) {
            (Some(fusion), Some(longer)) => self.fused(b, at, fusion, x, longer)?,
            _ => self.cut(b, &at.part("proj"), x, 1)?,
        };
        let &[batch, channels, height, width] = b.shape(x) else { unreachable!("rank 4: inferred") };
        let x = b.reshape(x, [batch, channels, height * width])?;
        let x = b.transpose(x, &[0, 2, 1])?;
        if self.patch_norm { layer_norm(b, &at.part("norm"), EPSILON, x) } else { Ok(x) }
    }

    /// Pictures `[batch, 1, height, width]`, each patch made a vector: `[batch, channels, rows, columns]`. A patch is so
    /// many times as wide as usual.
    fn cut(&self, b: &mut GraphBuilder<'_>, at: &Names, x: ValueId, wider: usize) -> Result<ValueId> {
        let ([kh, kw], [down, across]) = (self.patch, self.stride);
        let filter = weight(b, at, &[".weight"], &[self.channels, 1, kh, kw * wider])?;
        let bias = weight(b, at, &[".bias"], &[self.channels])?;
        let [y, x_pad] = [0, 1].map(|axis| self.patch[axis].saturating_sub(self.stride[axis]) / 2);
        let conv =
            Conv2d { strides: [down, across * wider], padding: [y, y, x_pad, x_pad], ..Conv2d::default() };
        b.op(Op::Conv2d(conv), &[x, filter, bias])
    }

    /// Four pictures a clip, one after another, to the patches of one.
    fn fused(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        fusion: &Fusion,
        x: ValueId,
        longer: ValueId,
    ) -> Result<ValueId> {
        let side = self.spec;
        let batch = b.shape(x)[0] / SPECTRA;
        let x = b.reshape(x, [batch, SPECTRA, side, side])?;
        let whole = b.slice(x, &[0; 4], &[batch, 1, side, side])?;
        let whole = self.cut(b, &at.part("proj"), whole, 1)?;
        let &[_, channels, rows, columns] = b.shape(whole) else { unreachable!("rank 4: inferred") };
        // The others side by side, each with a third of the columns.
        let others = SPECTRA - 1;
        let cuts = b.slice(x, &[0, 1, 0, 0], &[batch, others, side, side])?;
        let cuts = b.reshape(cuts, [batch * others, 1, side, side])?;
        let cuts = self.cut(b, &at.part("mel_conv2d"), cuts, others)?;
        let third = b.shape(cuts)[3];
        let cuts = b.reshape(cuts, [batch, others, channels, rows, third])?;
        let cuts = b.transpose(cuts, &[0, 2, 3, 1, 4])?;
        let cuts = b.reshape(cuts, [batch, channels, rows, others * third])?;
        let cuts = fill(b, cuts, 3, columns)?;
        let fused = fusion.build(b, &at.part("fusion_model"), [whole, cuts])?;
        let longer = b.reshape(longer, [batch, 1, 1, 1])?;
        b.op(Op::Where, &[longer, fused, whole])
    }

    fn block(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        x: ValueId,
        picture: Picture,
        heads: usize,
        shift: usize,
    ) -> Result<ValueId> {
        b.scope(format!("{}.attention", at.today()));
        let normal = layer_norm(b, &at.part("layernorm_before"), self.epsilon, x)?;
        let mixed = self.window_attention(b, &at.part("attention"), normal, picture, heads, shift)?;
        let x = b.add(mixed, x)?;
        b.scope(format!("{}.feed_forward", at.today()));
        let normal = layer_norm(b, &at.part("layernorm_after"), self.epsilon, x)?;
        let inner = (self.mlp_ratio * picture.channels as f64) as usize;
        let y = Linear::new(at.part("intermediate.dense"), picture.channels, inner)
            .then(self.activation)
            .build(b, normal)?;
        let y = Linear::new(at.part("output.dense"), inner, picture.channels).build(b, y)?;
        b.add(y, x)
    }

    /// Attention inside windows of the picture, which is first filled up to whole windows and rolled by `shift`.
    fn window_attention(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        x: ValueId,
        picture: Picture,
        heads: usize,
        shift: usize,
    ) -> Result<ValueId> {
        let Picture { batch, height, width, channels } = picture;
        let side = self.window;
        let [full_height, full_width] = [height, width].map(|size| size.next_multiple_of(side));
        let x = b.reshape(x, [batch, height, width, channels])?;
        let x = fill(b, x, 1, full_height)?;
        let x = fill(b, x, 2, full_width)?;
        let x = roll(b, x, 1, shift)?;
        let x = roll(b, x, 2, shift)?;
        let [rows, columns] = [full_height / side, full_width / side];
        let x = b.reshape(x, [batch, rows, side, columns, side, channels])?;
        let x = b.transpose(x, &[0, 1, 3, 2, 4, 5])?;
        let x = b.reshape(x, [batch * rows * columns, side * side, channels])?;

        let mut attention =
            MultiHead::new(at, ["self.query", "self.key", "self.value", "output.dense"], channels, heads);
        for linear in [&mut attention.q, &mut attention.k, &mut attention.v] {
            *linear = linear.clone().bias(self.qkv_bias);
        }
        attention.op = Attention { biased: true, ..attention.op };
        let bias = self.bias(b, &at.part("self"), heads, [full_height, full_width], shift)?;
        let x = attention.build(b, x, x, &[bias])?;

        let x = b.reshape(x, [batch, rows, columns, side, side, channels])?;
        let x = b.transpose(x, &[0, 1, 3, 2, 4, 5])?;
        let x = b.reshape(x, [batch, full_height, full_width, channels])?;
        let x = roll(b, x, 1, (full_height - shift) % full_height)?;
        let x = roll(b, x, 2, (full_width - shift) % full_width)?;
        let x = b.slice(x, &[0; 4], &[batch, height, width, channels])?;
        b.reshape(x, [batch, height * width, channels])
    }

    /// Learned scores by relative position `[1, heads, n, n]` and, where windows are shifted, a set for every
    /// window, in which pairs that are no neighbours repel each other.
    fn bias(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        heads: usize,
        [height, width]: [usize; 2],
        shift: usize,
    ) -> Result<ValueId> {
        let (side, span) = (self.window, 2 * self.window - 1);
        let n = side * side;
        let names: Vec<String> = vec![format!("{}.relative_position_bias_table", at.today())];
        let table = weight(b, &Names::any(names), &[""], &[span * span, heads])?;
        let apart = |i: usize, j: usize| i + side - 1 - j;
        let picks = (0..n * n).map(|at| {
            let (q, k) = (at / n, at % n);
            (apart(q / side, k / side) * span + apart(q % side, k % side)) as i32
        });
        let picks = b.constant(Tensor::i32([n, n], picks.collect()));
        let scores = b.op(Op::Gather { axis: 0 }, &[table, picks])?;
        let scores = b.transpose(scores, &[2, 0, 1])?;
        let scores = b.reshape(scores, [1, heads, n, n])?;
        if shift == 0 {
            return Ok(scores);
        }
        let region =
            |at: usize, size: usize| usize::from(at >= size - side) + usize::from(at >= size - shift);
        let columns = width / side;
        let of = |window: usize, place: usize| {
            let (y, x) = (window / columns * side + place / side, window % columns * side + place % side);
            3 * region(y, height) + region(x, width)
        };
        let windows = height / side * columns;
        let mut mask = Vec::with_capacity(windows * n * n);
        for window in 0..windows {
            for at in 0..n * n {
                let strangers = of(window, at / n) != of(window, at % n);
                mask.push(if strangers { STRANGERS } else { 0.0 });
            }
        }
        let mask = b.constant(Tensor::f32([windows, 1, n, n], mask));
        b.add(scores, mask)
    }
}

/// Two by two patches become one of twice the channels.
fn merge(b: &mut GraphBuilder<'_>, at: &Names, x: ValueId, picture: Picture) -> Result<ValueId> {
    b.scope(at.today());
    let Picture { batch, height, width, channels } = picture;
    let x = b.reshape(x, [batch, height, width, channels])?;
    let [full_height, full_width] = [height, width].map(|size| size.next_multiple_of(2));
    let x = fill(b, x, 1, full_height)?;
    let x = fill(b, x, 2, full_width)?;
    let [rows, columns] = [full_height / 2, full_width / 2];
    let x = b.reshape(x, [batch, rows, 2, columns, 2, channels])?;
    // The lower neighbour comes before the right one.
    let x = b.transpose(x, &[0, 1, 3, 4, 2, 5])?;
    let x = b.reshape(x, [batch, rows * columns, 4 * channels])?;
    let x = layer_norm(b, &at.part("norm"), EPSILON, x)?;
    Linear::new(at.part("reduction"), 4 * channels, 2 * channels).bias(false).build(b, x)
}

/// Zeros behind `x` along `axis`, up to `size`.
fn fill(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize, size: usize) -> Result<ValueId> {
    let mut shape = b.shape(x).to_vec();
    if shape[axis] == size {
        return Ok(x);
    }
    shape[axis] = size - shape[axis];
    let zeros = b.constant(Tensor::zeros(crate::DType::F32, shape));
    b.op(Op::Concat { axis }, &[x, zeros])
}

/// The first `by` places of an axis go to its end.
fn roll(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize, by: usize) -> Result<ValueId> {
    if by == 0 {
        return Ok(x);
    }
    let shape = b.shape(x).to_vec();
    let mut part = |start: usize, size: usize| {
        let (mut starts, mut sizes) = (vec![0; shape.len()], shape.clone());
        (starts[axis], sizes[axis]) = (start, size);
        b.slice(x, &starts, &sizes)
    };
    let (head, tail) = (part(0, by)?, part(by, shape[axis] - by)?);
    b.op(Op::Concat { axis }, &[tail, head])
}

/// The matrix `[to, from]` that stretches a line as PyTorch does: bicubic, `A = -0.75`, ends on ends.
fn bicubic(from: usize, to: usize) -> Tensor {
    const A: f64 = -0.75;
    let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    let mut matrix = vec![0.0; to * from];
    for row in 0..to {
        let place = if to > 1 { row as f64 * (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
        let base = libm::floor(place);
        let t = place - base;
        for (tap, factor) in [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)].into_iter().enumerate() {
            // Beyond the ends the last value goes on.
            let column = (base as usize + tap).saturating_sub(1).min(from - 1);
            matrix[row * from + column] += factor as f32;
        }
    }
    Tensor::f32([to, from], matrix)
}
