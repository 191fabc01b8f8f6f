//! The JSON schemas of the files that people write: what an editor completes and checks against.

use schemars::Schema;

use super::claims::Claims;
use super::gate::GateRules;
use super::matrix::Matrix;
use super::thresholds::Thresholds;

/// The schema of matrix files, as `matrices/matrix.schema.json` holds it.
pub fn matrix_schema() -> String {
    text(&schemars::schema_for!(Matrix))
}

/// The schema of thresholds, as `matrices/thresholds.schema.json` holds it.
pub fn thresholds_schema() -> String {
    text(&schemars::schema_for!(Thresholds))
}

/// The schema of the gate's rules, as `matrices/gate.schema.json` holds it.
pub fn gate_schema() -> String {
    text(&schemars::schema_for!(GateRules))
}

/// The schema of the ledger of claims, as `matrices/claims.schema.json` holds it.
pub fn claims_schema() -> String {
    text(&schemars::schema_for!(Claims))
}

fn text(schema: &Schema) -> String {
    // A schema is plain JSON: it cannot fail to be written.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    /// To approve a change: `WEBMATRIX_APPROVE=1 cargo test schema_files`.
    #[test]
    fn schema_files_are_the_generated_ones() {
        for (file, schema) in [
            ("matrix.schema.json", super::matrix_schema()),
            ("thresholds.schema.json", super::thresholds_schema()),
            ("gate.schema.json", super::gate_schema()),
            ("claims.schema.json", super::claims_schema()),
        ] {
            let path = format!("{}/matrices/{file}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("WEBMATRIX_APPROVE").is_some() {
                std::fs::write(&path, &schema).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == schema, "matrices/{file} is stale: run with WEBMATRIX_APPROVE=1");
        }
    }
}
