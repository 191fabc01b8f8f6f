//! `webmatrix probe`: what browsers can do, as their own pages find out.

use std::collections::BTreeMap;

use webmatrix_wire::{Capability, ProbeReport};

use super::run::{SetUp, context};
use crate::cli::args::ProbeArgs;
use crate::cli::config::{Machine, Places};
use crate::cli::recording::Recording;
use crate::cli::reporter;
use crate::cli::{out, signals, table};
use crate::collect::{self, Sources, Stop};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Deadlines, Plan};

pub(in crate::cli) async fn run(args: ProbeArgs) -> Result<ExitStatus, Failure> {
    let machine = Machine::look(&args.paths, Some(&args.browsers))?;
    let places = Places::of(&args.store);
    let (labels, missing) = browsers(&machine);
    let deadlines = Deadlines { probe_s: args.deadline, ..Deadlines::default() };
    let plan = Plan::without_cells("probe", deadlines, missing);
    let recording = Recording::begin(&places, &plan)?;
    let reporting = reporter::quiet();
    let stop = Stop::default();
    signals::listen(stop.clone(), reporting.events());
    let set_up = SetUp::new(&machine, &plan, &places, &args.launch, Sources::default());
    let ctx = context(&recording, set_up, reporting.events(), stop.clone()).await?;
    let mut reports = BTreeMap::new();
    for label in &labels {
        if stop.is_asked() {
            break;
        }
        match collect::probe(&ctx, label).await.exit(ExitStatus::BadData)? {
            Some(report) => {
                if !args.print.is_json() && !args.print.quiet {
                    out::text(&text(label, &report));
                }
                reports.insert(label.clone(), report);
            }
            None => out::note(&format!("{label}: no answer")),
        }
    }
    drop(ctx);
    if args.print.is_json() {
        out::line(&serde_json::to_string_pretty(&reports).exit(ExitStatus::BadData)?);
    }
    for label in &plan.missing {
        out::note(&format!(
            "{label}: not usable on this machine; `webmatrix browsers check {label}` says why"
        ));
    }
    let status = if stop.is_asked() {
        ExitStatus::Interrupted
    } else if !plan.missing.is_empty() {
        ExitStatus::Unavailable
    } else if reports.is_empty() {
        ExitStatus::TooLittleEvidence
    } else if reports.len() < labels.len() {
        ExitStatus::Unexpected
    } else {
        ExitStatus::AsExpected
    };
    recording.end(status, stop.is_asked())?;
    Ok(status)
}

/// The labels that can be probed, and those asked for that cannot.
pub(super) fn browsers(machine: &Machine) -> (Vec<String>, Vec<String>) {
    let usable = |label: &String| machine.found.iter().any(|f| f.label == *label && f.problem.is_none());
    let mut labels: Vec<String> = Vec::new();
    for asked in machine.labels.iter().flatten() {
        if asked == "all" {
            labels.extend(machine.found.iter().map(|found| found.label.clone()).filter(usable));
        } else {
            labels.push(asked.clone());
        }
    }
    labels.sort();
    labels.dedup();
    labels.into_iter().partition(usable)
}

fn text(label: &str, report: &ProbeReport) -> String {
    fn line<T>(area: &str, tried: &Capability<T>, told: String) -> Vec<String> {
        let state = match (tried.present, tried.usable) {
            (_, true) => "usable",
            (true, false) => "present",
            (false, false) => "absent",
        };
        let told = if tried.usable { told } else { tried.error.clone().unwrap_or_default() };
        vec![area.to_owned(), tried.name.clone(), state.to_owned(), told]
    }
    let mut lines = Vec::new();
    for tried in &report.webgpu {
        let told = tried.facts.as_ref().map(|facts| {
            let a = &facts.adapter;
            let words = [&a.vendor, &a.architecture, &a.device, &a.description].map(String::as_str);
            let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            let fallback = if a.is_fallback { ", fallback adapter" } else { "" };
            format!("{name}{fallback}, {} features", facts.features.len())
        });
        lines.push(line("webgpu", tried, told.unwrap_or_default()));
    }
    for tried in &report.webnn {
        let told = tried.facts.as_ref().map(|facts| format!("{} ops", facts.ops.len()));
        lines.push(line("webnn", tried, told.unwrap_or_default()));
    }
    let valid: Vec<&str> =
        report.wasm.features.iter().filter(|(_, valid)| **valid).map(|(name, _)| name.as_str()).collect();
    let shared = if report.wasm.shared_memory { "shared memory" } else { "no shared memory" };
    lines.push(vec!["wasm".to_owned(), shared.to_owned(), "usable".to_owned(), valid.join(" ")]);
    let step = format!("{} us", report.timers.performance_now_us);
    lines.push(vec!["timers".to_owned(), "performance.now".to_owned(), "usable".to_owned(), step]);
    format!(
        "{label}: {}\n{}\n",
        report.environment.user_agent,
        table::table(&["", "", "", ""], &lines).trim_start()
    )
}
