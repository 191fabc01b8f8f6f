//! `conv2d` as a product: filters times the taps of a tile of pixels, gathered straight into `gemm`'s panels.

use crate::ops::Conv2d;
use crate::tensor::Tensor;

use super::gemm::{NR, RowBlocks};
use super::parallel::{self, Crew};

/// Taps gathered at once: 1 MiB of panels stays in the second-level cache.
const TILE: usize = 1 << 18;

/// The result has the shape that was inferred for it.
pub(super) fn run(crew: &Crew, op: Conv2d, inputs: &[&Tensor], shape: &[usize]) -> Tensor {
    let (x, filter) = (inputs[0], inputs[1]);
    let &[_, channels, height, width] = x.shape() else { unreachable!("rank 4: inferred") };
    let &[out, per_group, kh, kw] = filter.shape() else { unreachable!("rank 4: inferred") };
    let &[batch, _, rows, columns] = shape else { unreachable!("rank 4: inferred") };
    let (pixels, depth, plane) = (rows * columns, per_group * kh * kw, height * width);
    let mut y = vec![0.0; batch * out * pixels];
    if let Some(bias) = inputs.get(2) {
        for (plane, bias) in y.chunks_exact_mut(pixels).zip(bias.as_f32().iter().cycle()) {
            plane.fill(*bias);
        }
    }
    if y.is_empty() || depth == 0 {
        return Tensor::f32(shape, y);
    }
    let source = Source { op, size: [height, width], kernel: [kh, kw], columns };
    let filters: Vec<_> =
        filter.as_f32().chunks_exact(out / op.groups * depth).map(|of| RowBlocks::of(of, depth)).collect();
    // Each thread has its own pixels, of every image and channel.
    let units = crew.split(pixels.div_ceil(NR), batch * out * NR * depth);
    let parts: Vec<_> = units.iter().map(|at| at.start * NR..(at.end * NR).min(pixels)).collect();
    let planes = parallel::columns(&mut y, pixels, &parts);
    crew.each(parts.into_iter().zip(planes).collect(), |(pixels, mut planes)| {
        // Whole panels, and no more of them than there are pixels.
        let tile = (TILE / depth).clamp(NR, pixels.len().next_multiple_of(NR)) / NR * NR;
        let mut panels = vec![0.0; tile * depth];
        for (part, planes) in planes.chunks_exact_mut(out / op.groups).enumerate() {
            let (image, group) = (part / op.groups, part % op.groups);
            let x = &x.as_f32()[(image * channels + group * per_group) * plane..][..per_group * plane];
            for first in (0..pixels.len()).step_by(tile) {
                let count = tile.min(pixels.len() - first);
                let panels = &mut panels[..count.next_multiple_of(NR) * depth];
                for (at, panel) in panels.chunks_exact_mut(NR * depth).enumerate() {
                    let start = pixels.start + first + at * NR;
                    source.gather(x, start..(start + NR).min(pixels.end), panel);
                }
                let mut y: Vec<&mut [f32]> =
                    planes.iter_mut().map(|plane| &mut plane[first..first + count]).collect();
                filters[group].accumulate(panels, 0..depth, &mut y);
            }
        }
    });
    Tensor::f32(shape, y)
}

/// Where the taps of a pixel of the result lie.
struct Source {
    op: Conv2d,
    /// Of a channel, `[height, width]`.
    size: [usize; 2],
    /// Of a filter, `[height, width]`.
    kernel: [usize; 2],
    /// Of the result.
    columns: usize,
}

impl Source {
    /// Writes the taps of up to [`NR`] pixels side by side, `panel[tap][pixel]`, zero where there is padding.
    fn gather(&self, x: &[f32], pixels: std::ops::Range<usize>, panel: &mut [f32]) {
        let ([height, width], [kh, kw], op) = (self.size, self.kernel, &self.op);
        // Where each pixel's filter begins, padding included; lanes beyond the last pixel repeat it.
        let mut corners = [[0; 2]; NR];
        for (lane, corner) in corners.iter_mut().enumerate() {
            let pixel = (pixels.start + lane).min(pixels.end - 1);
            *corner = [pixel / self.columns * op.strides[0], pixel % self.columns * op.strides[1]];
        }
        let [row, column] = corners[0];
        let adjacent = corners.iter().enumerate().all(|(lane, corner)| *corner == [row, column + lane]);
        let mut taps = panel.as_chunks_mut::<NR>().0.iter_mut();
        for channel in x.chunks_exact(height * width) {
            for u in 0..kh {
                for v in 0..kw {
                    let lanes = taps.next().expect("a panel holds every tap");
                    // A place in the padding before the first row or column wraps around to far beyond the last.
                    let shift = [
                        (u * op.dilations[0]).wrapping_sub(op.padding[0]),
                        (v * op.dilations[1]).wrapping_sub(op.padding[2]),
                    ];
                    let (y, x) = (row.wrapping_add(shift[0]), column.wrapping_add(shift[1]));
                    if adjacent && y < height && x < width && x + NR <= width {
                        lanes.copy_from_slice(&channel[y * width + x..][..NR]);
                        continue;
                    }
                    for (to, corner) in lanes.iter_mut().zip(&corners) {
                        let (y, x) = (corner[0].wrapping_add(shift[0]), corner[1].wrapping_add(shift[1]));
                        *to = if y < height && x < width { channel[y * width + x] } else { 0.0 };
                    }
                }
            }
        }
    }
}
