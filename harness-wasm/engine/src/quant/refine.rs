//! Codes and scales that are better than those that were found one after another: coordinate descent.
//!
//! A row's error is the quadratic form `d · H · dᵀ` of what its weights are off by. One code, or the numbers of one group, at a
//! time are chosen anew so that it is least while everything else stays. It never grows, so whatever made the row is only
//! improved on.

use super::fit;
use super::scales::Affine;
use super::scheme::Bits;

/// Times that a row is gone through, at most.
const ROUNDS: usize = 6;

/// What a row's codes and scales are held to.
pub(super) struct Form<'h> {
    /// `H`, symmetric, `n` rows of `n`.
    h: &'h [f32],
    n: usize,
}

/// How a row is coded.
pub(super) struct Coded<'r> {
    pub(super) bits: Bits,
    pub(super) codes: &'r mut [u8],
    /// Of each group.
    pub(super) groups: &'r mut [Affine],
    /// Weights of a group.
    pub(super) size: usize,
    /// What of the groups' numbers may be changed.
    pub(super) free: Free,
}

/// What of a group's numbers may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    /// Nothing.
    Nothing,
    /// The scale, from which the minimum follows.
    Scale,
    /// Both.
    Both,
}

impl Coded<'_> {
    fn weight(&self, i: usize) -> f32 {
        let Affine { scale, min } = self.groups[i / self.size];
        scale * f32::from(self.codes[i]) + min
    }
}

impl<'h> Form<'h> {
    pub(super) const fn new(h: &'h [f32], n: usize) -> Self {
        Self { h, n }
    }

    fn row(&self, i: usize) -> &'h [f32] {
        &self.h[i * self.n..][..self.n]
    }

    /// `H · d`.
    fn pull(&self, d: &[f32]) -> Vec<f32> {
        let mut pull = vec![0.0; self.n];
        d.iter().enumerate().for_each(|(i, &d)| self.moved(&mut pull, i, -d));
        pull
    }

    /// Takes in that weight `i` has become so much larger.
    fn moved(&self, pull: &mut [f32], i: usize, by: f32) {
        if by != 0.0 {
            pull.iter_mut().zip(self.row(i)).for_each(|(pull, h)| *pull -= by * h);
        }
    }

    /// Improves on a row that stands for `weights`.
    pub(super) fn refine(&self, weights: &[f32], coded: &mut Coded<'_>) {
        let off: Vec<f32> = weights.iter().enumerate().map(|(i, w)| w - coded.weight(i)).collect();
        let mut pull = self.pull(&off);
        for _ in 0..ROUNDS {
            let mut changed = false;
            for at in 0..coded.groups.len() {
                if coded.free != Free::Nothing {
                    changed |= self.group(&mut pull, coded, at);
                }
                changed |= self.codes(&mut pull, coded, at);
            }
            if !changed {
                break;
            }
        }
    }

    /// Chooses each code of a group anew; whether any changed.
    fn codes(&self, pull: &mut [f32], coded: &mut Coded<'_>, at: usize) -> bool {
        let group = coded.groups[at];
        if group.scale == 0.0 {
            return false;
        }
        let mut changed = false;
        for i in at * coded.size..self.n.min((at + 1) * coded.size) {
            let now = coded.weight(i);
            // In one code alone the form is a parabola: the nearest to its lowest point is the best.
            let code = fit::code(coded.bits, now + pull[i] / self.row(i)[i], group);
            let by = group.scale * f32::from(code) + group.min - now;
            // Of two codes that are as good the old one stays.
            if code != coded.codes[i] && by * (2.0 * pull[i] - by * self.row(i)[i]) > 0.0 {
                coded.codes[i] = code;
                self.moved(pull, i, by);
                changed = true;
            }
        }
        changed
    }

    /// Chooses a group's numbers anew; whether they changed.
    fn group(&self, pull: &mut [f32], coded: &mut Coded<'_>, at: usize) -> bool {
        let range = at * coded.size..self.n.min((at + 1) * coded.size);
        let (now, zero) = (coded.groups[at], coded.bits.zero() as f32);
        let both = coded.free == Free::Both;
        let codes: Vec<f32> = coded.codes[range.clone()]
            .iter()
            .map(|&code| f32::from(code) - if both { 0.0 } else { zero })
            .collect();
        // Products with the scale's direction (the codes) and the minimum's (ones).
        let (mut qg, mut og, mut qhq, mut qho, mut oho) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
        for (&q, i) in codes.iter().zip(range.clone()) {
            let row = &self.row(i)[range.clone()];
            let (hq, ho) = codes.iter().zip(row).fold((0.0, 0.0), |(hq, ho), (q, h)| (hq + q * h, ho + h));
            qg += q * pull[i];
            og += pull[i];
            qhq += q * hq;
            qho += q * ho;
            oho += ho;
        }
        let (scale, min) = if both {
            let spread = qhq * oho - qho * qho;
            // Codes that are all alike tell a scale nothing.
            if spread <= 1e-6 * qhq * oho {
                return false;
            }
            ((qg * oho - og * qho) / spread, (og * qhq - qg * qho) / spread)
        } else if qhq > 0.0 {
            (qg / qhq, 0.0)
        } else {
            return false;
        };
        let scale = fit::stored(now.scale + scale);
        let next = Affine { scale, min: if both { fit::stored(now.min + min) } else { -zero * scale } };
        let (ds, dm) = (next.scale - now.scale, if both { next.min - now.min } else { 0.0 });
        let gain = 2.0 * (ds * qg + dm * og) - (ds * ds * qhq + 2.0 * ds * dm * qho + dm * dm * oho);
        if next == now || gain <= 0.0 {
            return false;
        }
        coded.groups[at] = next;
        for (q, i) in codes.iter().zip(range) {
            self.moved(pull, i, ds * q + dm);
        }
        true
    }
}
