//! `webmatrix browsers`: which are here, and what is wrong with them.

use crate::cli::args::{BrowsersAction, BrowsersArgs};
use crate::cli::{config, out, table};
use crate::discover::{Installed, Severity, ThisMachine, UserBrowser, UserBrowsers, select};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::axis::BrowserKind;

pub(in crate::cli) fn run(args: &BrowsersArgs) -> Result<ExitStatus, Failure> {
    match &args.action {
        None => list(args),
        Some(BrowsersAction::Check { labels }) => check(args, labels),
        Some(BrowsersAction::Add { label, kind, path, driver, driver_args }) => {
            let browser = UserBrowser {
                kind: *kind,
                path: path.clone(),
                driver: driver.clone(),
                driver_args: driver_args.clone(),
            };
            let file = configuration()?;
            UserBrowsers::add(&file, label, &browser).exit(ExitStatus::BadData)?;
            out::note(&format!("{label} is kept in {}", file.display()));
            Ok(ExitStatus::AsExpected)
        }
        Some(BrowsersAction::Remove { label }) => {
            UserBrowsers::remove(&configuration()?, label).exit(ExitStatus::BadData)?;
            Ok(ExitStatus::AsExpected)
        }
    }
}

fn configuration() -> Result<std::path::PathBuf, Failure> {
    let none = || Failure::text(ExitStatus::BadData, "no folder for configuration: set WEBMATRIX_CONFIG_DIR");
    UserBrowsers::file(&ThisMachine).ok_or_else(none)
}

fn list(args: &BrowsersArgs) -> Result<ExitStatus, Failure> {
    let installed = config::installed(&args.paths)?;
    if args.print.is_json() {
        out::line(&serde_json::to_string_pretty(&installed).exit(ExitStatus::BadData)?);
    } else if !args.print.quiet {
        out::text(&text(&installed));
    }
    Ok(ExitStatus::AsExpected)
}

fn text(installed: &[Installed]) -> String {
    let lines: Vec<Vec<String>> = installed
        .iter()
        .map(|browser| {
            let driver = browser.driver.as_ref().map(|driver| {
                let version =
                    driver.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
                format!("{}{version}", driver.kind)
            });
            let state = match browser.problems.iter().map(|problem| problem.severity).max() {
                None => "ready",
                Some(_) if browser.obstacle().is_some() => "unusable",
                Some(_) => "usable",
            };
            vec![
                browser.label.clone(),
                browser.version.as_ref().map(ToString::to_string).unwrap_or_default(),
                browser.channel.to_string(),
                state.to_owned(),
                driver.unwrap_or_else(|| "no driver".to_owned()),
                browser.path.display().to_string(),
            ]
        })
        .collect();
    let mut text = table::table(&["label", "version", "channel", "state", "driver", "program"], &lines);
    for browser in installed {
        for problem in &browser.problems {
            text.push_str(&format!("{}: {problem}\n", browser.label));
        }
    }
    let absent: Vec<&str> = BrowserKind::ALL
        .into_iter()
        .filter(|kind| !installed.iter().any(|browser| browser.kind == *kind))
        .map(BrowserKind::as_str)
        .collect();
    if !absent.is_empty() {
        text.push_str(&format!("not on this machine: {}\n", absent.join(", ")));
    }
    text
}

/// A line for each problem; unusable browsers decide the exit code.
fn check(args: &BrowsersArgs, labels: &[String]) -> Result<ExitStatus, Failure> {
    let installed = config::installed(&args.paths)?;
    let all = ["all".to_owned()];
    let labels = if labels.is_empty() { &all[..] } else { labels };
    let selection = select(labels, &installed);
    for absent in &selection.absent {
        out::line(&format!("{}: {}", absent.asked, absent.reason));
    }
    for chosen in &selection.found {
        let warnings = chosen.browser.problems.iter().filter(|problem| problem.severity != Severity::Error);
        for problem in warnings {
            out::line(&format!("{}: {problem}", chosen.browser.label));
        }
        if !args.print.quiet {
            out::line(&format!("{}: ready", chosen.browser.label));
        }
    }
    let nothing = selection.found.is_empty() && selection.absent.is_empty();
    if nothing {
        out::line("no browser found: `cargo xtask setup` installs some, --browser-path names one");
    }
    let fine = selection.absent.is_empty() && !nothing;
    Ok(if fine { ExitStatus::AsExpected } else { ExitStatus::Unavailable })
}
