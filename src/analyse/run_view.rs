//! A run as reports show it.

use serde::Serialize;

use super::claims::settled::Settled;
use super::comparison::Row;
use super::op_matrix::OpMatrix;
use super::view::CellView;
use crate::store::{BrowserRow, EnvironmentRow, RunRow};

/// One run with its cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunView {
    /// The run.
    pub run: RunRow,
    /// The machine.
    pub environment: Vec<EnvironmentRow>,
    /// The browsers.
    pub browsers: Vec<BrowserRow>,
    /// The cells, in the plan's order.
    pub cells: Vec<CellView>,
    /// What the cells save and cost beside others; nothing where nobody asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<Row>,
    /// What people promise, judged by what this run measured; nothing where nobody asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Settled>,
    /// The op cases; none where none were run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<OpMatrix>,
}
