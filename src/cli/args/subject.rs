//! Which models, on what, where: what every command takes that runs cells of its own choosing.

use webmatrix_wire::Backend;

use super::{Weights, within};
use crate::cli::config::{self, Machine};
use crate::error::Failure;
use crate::plan::{BATCHES, Chosen, SEQUENCE_LENGTHS, Size};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SubjectArgs {
    /// Browser labels, `all`, or `native` for the host [default: every browser found]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL")]
    pub(in crate::cli) browsers: Option<Vec<String>>,
    /// Model sizes: tiny small base [default: tiny]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_SIZE", value_name = "SIZE")]
    pub(in crate::cli) size: Option<Vec<Size>>,
    /// Items of one inference
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BATCH", value_name = "N", value_parser = within(&BATCHES))]
    batch: Option<Vec<u32>>,
    /// Tokens of its text
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_SEQUENCE_LENGTH", value_name = "N", value_parser = within(&SEQUENCE_LENGTHS))]
    sequence_length: Option<Vec<u32>>,
    /// Whose weights: `hub` for the checkpoints that `models pull` brought, or a folder for a class
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_WEIGHTS", value_name = "hub|twin|CLASS=DIR")]
    pub(in crate::cli) weights: Vec<Weights>,
    /// Seconds for one try at a cell
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    deadline: Option<u32>,
}

impl SubjectArgs {
    /// The cells of these models and backends that are meant on this machine, `total_s` being the seconds for all of them.
    pub(in crate::cli) fn chosen(
        &self,
        models: &[String],
        backends: Option<&[Backend]>,
        total_s: Option<u32>,
        machine: &Machine,
    ) -> Result<Chosen, Failure> {
        Ok(Chosen {
            models: models.to_vec(),
            sizes: self.size.clone(),
            batches: self.batch.clone(),
            sequence_lengths: self.sequence_length.clone(),
            browsers: machine.labels.clone(),
            backends: backends.map(<[Backend]>::to_vec),
            own_weights: config::own_weights(&self.weights)?,
            attempt_s: self.deadline,
            total_s,
        })
    }
}
