//! `webmatrix merge`: parts of a run, put together as one run of another output folder.

use crate::analyse::exit_status;
use crate::cli::args::MergeArgs;
use crate::cli::config::Places;
use crate::cli::out;
use crate::cli::recording::{Recording, latest};
use crate::collect::{Part, merge};
use crate::error::{Exit, ExitStatus, Failure};

pub(in crate::cli) fn run(args: &MergeArgs) -> Result<ExitStatus, Failure> {
    let places = Places::of(&args.store);
    let mut parts: Vec<Part> = Vec::new();
    for out in &args.parts {
        if same(out, &places.out) {
            let text = format!("{} is where the parts go to: name another with --out", out.display());
            return Err(Failure::text(ExitStatus::Usage, text));
        }
        let part = Part { out: out.clone(), run: latest(out)? };
        if parts.iter().any(|known| known.run == part.run) {
            let text = format!("run {} is named twice", part.run);
            return Err(Failure::text(ExitStatus::Usage, text));
        }
        parts.push(part);
    }
    let arguments = std::env::args().skip(1).collect();
    let (journal, entries) = merge(&parts, &places.out, arguments).exit(ExitStatus::BadData)?;
    let (recording, plan) = Recording::of_entries(&places, journal, entries)?;
    let status = exit_status(&recording.tally(&plan), &plan.missing);
    let run = recording.run.clone();
    let undecided = plan.cells.len().saturating_sub(recording.recorder.verdicts().len());
    recording.end(status, undecided > 0)?;
    if args.print.is_json() {
        out::line(
            &serde_json::json!({ "run": run, "parts": parts.len(), "undecided": undecided }).to_string(),
        );
    } else if !args.print.quiet {
        out::line(&run);
        if undecided > 0 {
            out::note(&format!("{undecided} cells have no verdict: a part was interrupted, or is missing"));
        }
    }
    Ok(status)
}

/// Whether two names are of one folder.
fn same(one: &std::path::Path, other: &std::path::Path) -> bool {
    let whole = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}
