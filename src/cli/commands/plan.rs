//! `webmatrix plan`: the cells, and why others do not run.

use crate::cli::args::PlanArgs;
use crate::cli::config::{self, Machine};
use crate::cli::{files, out, table};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Decision, Plan};

pub(in crate::cli) fn run(args: &PlanArgs) -> Result<ExitStatus, Failure> {
    let machine = Machine::look(&args.select.paths, args.select.browsers.as_deref())?;
    let plan = config::plan(&args.select, &machine)?;
    machine.notes.iter().for_each(|note| out::note(note));
    files::notes(&plan).iter().for_each(|note| out::note(note));
    print(&plan, args.print.is_json(), args.print.quiet)?;
    Ok(ExitStatus::AsExpected)
}

/// Prints a plan for programs or for people.
pub(super) fn print(plan: &Plan, json: bool, quiet: bool) -> Result<(), Failure> {
    if json {
        out::line(&serde_json::to_string_pretty(plan).exit(ExitStatus::BadData)?);
    } else if !quiet {
        out::text(&text(plan));
    }
    Ok(())
}

/// The cells that run, each; those that do not, by reason.
fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for cell in plan.runnable() {
        text.push_str(&format!("{cell}\n"));
    }
    for target in plan.runnable_ops() {
        text.push_str(&format!("{target}\n"));
    }
    let mut reasons: Vec<(String, String, usize)> = Vec::new();
    let decisions = plan.cells.iter().map(|planned| &planned.decision);
    for decision in decisions.chain(plan.ops.iter().map(|planned| &planned.decision)) {
        if let Decision::Never { status, reason } = decision {
            match reasons.iter_mut().find(|(s, r, _)| s == status.as_str() && r == reason) {
                Some((_, _, count)) => *count += 1,
                None => reasons.push((status.to_string(), reason.clone(), 1)),
            }
        }
    }
    let runs = plan.runnable().count() + plan.runnable_ops().count();
    let (all, what) =
        (plan.cells.len() + plan.ops.len(), if plan.ops.is_empty() { "cells" } else { "backends" });
    text.push_str(&format!("\n{runs} of {all} {what} of {} run\n", plan.matrix));
    if !reasons.is_empty() {
        let lines: Vec<Vec<String>> = reasons
            .into_iter()
            .map(|(status, reason, count)| vec![count.to_string(), status, reason])
            .collect();
        text.push('\n');
        text.push_str(&table::table(&["cells", "status", "why they do not run"], &lines));
    }
    text
}
