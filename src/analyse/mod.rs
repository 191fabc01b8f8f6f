//! From facts to conclusions: agreement, evidence, verdicts, statistics. Pure: no IO, no clock.
//!
//! **Architecture invariant:** this is the only place where a status, an evidence grade or an
//! agreement is decided, and on any doubt the answer is not a pass.

mod accuracy;
mod agreement;
pub mod can_i_run;
pub mod catalogue;
pub mod changes;
pub mod claims;
pub mod comparison;
mod divergence;
pub mod dossier;
mod doubt;
mod ending;
mod evidence;
pub mod explanation;
pub mod exported;
mod footprint;
pub mod frontier;
pub mod gate;
pub mod memory;
pub mod op_matrix;
mod ops;
mod outcome;
mod pairs;
mod perplexity;
pub mod ratios;
pub mod repro;
pub mod run_view;
mod speed;
pub mod spread;
mod stats;
mod support;
mod timing;
mod trace;
pub mod tuning;
mod verdict;
mod verification;
pub mod view;

pub use accuracy::accuracy;
pub use agreement::compare;
pub use doubt::with_timings;
pub use evidence::{Grade, grade, grade_backend, grade_op_case};
pub use outcome::{Tally, exit_status};
pub use pairs::{PeerRow, cold_row, pairs_row, software_gpu};
pub use speed::{speed, timed};
pub use stats::{Estimate, Ratio, median, ratio_of_medians};
pub use support::unsupported;
pub use timing::TimingView;
pub use trace::traced;
pub use verdict::Rules;
pub use verification::{OutputLine, output_lines, verification_status};
