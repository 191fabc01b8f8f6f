//! The page's script: the modules of `reports/js`, as one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The modules, each after those that it imports from.
const MODULES: [&str; 16] = [
    include_str!("../../../reports/js/dom.js"),
    include_str!("../../../reports/js/format.js"),
    include_str!("../../../reports/js/data.js"),
    include_str!("../../../reports/js/state.js"),
    include_str!("../../../reports/js/charts.js"),
    include_str!("../../../reports/js/overview.js"),
    include_str!("../../../reports/js/matrix.js"),
    include_str!("../../../reports/js/cell.js"),
    include_str!("../../../reports/js/capabilities.js"),
    include_str!("../../../reports/js/ops.js"),
    include_str!("../../../reports/js/performance.js"),
    include_str!("../../../reports/js/precision.js"),
    include_str!("../../../reports/js/memory.js"),
    include_str!("../../../reports/js/claims.js"),
    include_str!("../../../reports/js/history.js"),
    include_str!("../../../reports/js/main.js"),
];

/// One script without imports: a page that is read from disk cannot load a module from another file. Every module's names
/// are its own, which the language itself checks, since all end up in one scope.
pub(super) fn script() -> String {
    let mut script = String::from("\"use strict\";\n");
    for line in MODULES.iter().flat_map(|module| module.lines()) {
        if line.starts_with("import ") {
            continue;
        }
        script.push_str(line.strip_prefix("export ").unwrap_or(line));
        script.push('\n');
    }
    script
}

/// The hash by which a content security policy lets a script run.
pub(super) fn hash(script: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_names_a_module_that_comes_before() {
        let names = [
            "dom",
            "format",
            "data",
            "state",
            "charts",
            "overview",
            "matrix",
            "cell",
            "capabilities",
            "ops",
            "performance",
            "precision",
            "memory",
            "claims",
            "history",
            "main",
        ];
        for (at, module) in MODULES.iter().enumerate() {
            for line in module.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split("\"./").nth(1).and_then(|rest| rest.strip_suffix(".js\";"));
                let place = names.iter().position(|name| Some(*name) == from);
                assert!(place.is_some_and(|place| place < at), "{}: {line}", names[at]);
            }
        }
        let script = script();
        assert!(
            !script.contains("\nimport ") && !script.contains("\nexport ") && !script.contains("</script")
        );
    }
}
