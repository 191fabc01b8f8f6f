//! Gathers candidates from every source, looks at each, and gives them labels.

use std::path::PathBuf;

use crate::discover::host::Host;
use crate::discover::{
    BrowserPath, Channel, Installed, Problem, Severity, Source, UserBrowsers, drivers, places, probe, wrapper,
};
use crate::plan::axis::BrowserKind;

/// A program that may be a browser, before it was looked at.
struct Candidate {
    kind: BrowserKind,
    path: PathBuf,
    source: Source,
    channel: Channel,
    /// The label the user gave it.
    label: Option<String>,
    driver: Option<PathBuf>,
    driver_args: Vec<String>,
}

impl Candidate {
    fn new(kind: BrowserKind, path: PathBuf, source: Source, channel: Channel) -> Self {
        Self { kind, path, source, channel, label: None, driver: None, driver_args: Vec::new() }
    }

    /// Whether the user named it, and so wants to hear of it even when it is not there.
    fn is_named(&self) -> bool {
        matches!(self.source, Source::Flag | Source::Config | Source::Environment)
    }
}

/// Every browser on this machine, in the order of [`BrowserKind::ALL`], within a kind by source.
///
/// Takes as long as the slowest program takes to print its version: they are asked side by side.
pub fn discover(host: &dyn Host, user: &UserBrowsers, flags: &[BrowserPath]) -> Vec<Installed> {
    let mut seen: Vec<(BrowserKind, PathBuf)> = Vec::new();
    let mut programs = Vec::new();
    for candidate in candidates(host, user, flags) {
        let there = host.is_file(&candidate.path);
        if !there && !candidate.is_named() {
            continue;
        }
        let program = wrapper::unwrap(host, candidate.kind, &candidate.path);
        let key = (candidate.kind, program.path.clone());
        // The same program may have two labels only if the user gave both.
        let repeated = seen.contains(&key) && candidate.label.is_none();
        let label_taken = candidate.label.is_some()
            && programs.iter().any(|(other, _, _): &(Candidate, _, _)| other.label == candidate.label);
        if repeated || label_taken {
            continue;
        }
        seen.push(key);
        programs.push((candidate, program, there));
    }
    let mut installed: Vec<(Option<String>, Installed)> = std::thread::scope(|scope| {
        let asked: Vec<_> = programs
            .into_iter()
            .map(|(candidate, program, there)| scope.spawn(move || look_at(host, candidate, program, there)))
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    installed.sort_by_key(|(_, browser)| browser.kind);
    label(installed)
}

/// Candidates in order of precedence.
fn candidates(host: &dyn Host, user: &UserBrowsers, flags: &[BrowserPath]) -> Vec<Candidate> {
    let from_flags = flags.iter().map(|flag| Candidate {
        label: Some(flag.label.clone()),
        ..Candidate::new(flag.kind, flag.path.clone(), Source::Flag, Channel::Unknown)
    });
    let from_config = user.iter().map(|(label, browser)| Candidate {
        label: Some(label.to_owned()),
        driver: browser.driver.clone(),
        driver_args: browser.driver_args.clone(),
        ..Candidate::new(browser.kind, browser.path.clone(), Source::Config, Channel::Unknown)
    });
    let from_environment = BrowserKind::ALL.into_iter().filter_map(|kind| {
        let path = host.env(places::browser_variable(kind))?;
        Some(Candidate::new(kind, path.into(), Source::Environment, Channel::Unknown))
    });
    let from_path = places::on_path(host.os()).iter().filter_map(|&(kind, channel, name)| {
        Some(Candidate::new(kind, host.which(name)?, Source::Path, channel))
    });
    let known = places::browsers(host)
        .into_iter()
        .map(|place| Candidate::new(place.kind, place.path, Source::KnownPlace, place.channel));
    from_flags.chain(from_config).chain(from_environment).chain(from_path).chain(known).collect()
}

/// Asks one program who it is and finds its driver.
fn look_at(
    host: &dyn Host,
    candidate: Candidate,
    program: wrapper::Unwrapped,
    there: bool,
) -> (Option<String>, Installed) {
    let mut browser = Installed {
        label: candidate.kind.as_str().to_owned(),
        kind: candidate.kind,
        channel: candidate.channel,
        version: None,
        path: program.path,
        source: candidate.source,
        driver: None,
        problems: Vec::new(),
    };
    if !there {
        let text = format!("{} does not exist", candidate.path.display());
        let remedy = match candidate.source {
            Source::Environment => format!("correct {}", places::browser_variable(candidate.kind)),
            Source::Config => "correct it with `webmatrix browsers add`, or remove it".to_owned(),
            Source::Flag | Source::Path | Source::KnownPlace => "correct --browser-path".to_owned(),
        };
        browser.problems.push(Problem::error(text, remedy));
        return (candidate.label, browser);
    }
    if let Some(container) = program.container {
        let text = format!("it is started outside of its {container}, whose confinement hides profiles");
        browser.problems.push(Problem::new(Severity::Note, text, "nothing, if it starts"));
    }
    let probed = probe::probe(host, candidate.kind, &browser.path);
    browser.version = probed.version;
    // Firefox's Developer Edition calls itself a beta: the place knows better, unless it is silent.
    if let (Channel::Unknown | Channel::Stable, Some(channel)) = (candidate.channel, probed.channel) {
        browser.channel = channel;
    }
    browser.problems.extend(probed.problem);
    let (driver, problems) = drivers::find(
        host,
        &drivers::Wanted {
            kind: candidate.kind,
            path: &browser.path,
            version: browser.version.as_ref(),
            given: candidate.driver.as_deref(),
            args: &candidate.driver_args,
        },
    );
    browser.driver = driver;
    browser.problems.extend(problems);
    (candidate.label, browser)
}

/// Gives each browser its label: the user's own, the kind's name for the first of a kind (a stable one
/// before others), `kind-channel` for the rest, numbered where that is taken.
fn label(found: Vec<(Option<String>, Installed)>) -> Vec<Installed> {
    let mut taken: Vec<String> = found.iter().filter_map(|(label, _)| label.clone()).collect();
    // A user's label hides the kind's name only if it is that name.
    let firsts: Vec<usize> = BrowserKind::ALL
        .into_iter()
        .filter(|kind| !taken.iter().any(|label| label == kind.as_str()))
        .filter_map(|kind| {
            let unnamed = || {
                found
                    .iter()
                    .enumerate()
                    .filter(move |(_, (label, browser))| label.is_none() && browser.kind == kind)
            };
            let plain = unnamed().find(|(_, (_, browser))| {
                browser.channel == Channel::Stable || browser.source == Source::Environment
            });
            plain.or_else(|| unnamed().next()).map(|(at, _)| at)
        })
        .collect();
    taken.extend(firsts.iter().map(|&at| found[at].1.kind.as_str().to_owned()));
    let mut installed = Vec::with_capacity(found.len());
    for (at, (label, mut browser)) in found.into_iter().enumerate() {
        browser.label = match label {
            Some(label) => label,
            None if firsts.contains(&at) => browser.kind.as_str().to_owned(),
            None => {
                let wish = match browser.channel {
                    Channel::Stable | Channel::Unknown => browser.kind.as_str().to_owned(),
                    channel => format!("{}-{channel}", browser.kind),
                };
                let free = free_label(&wish, &taken);
                taken.push(free.clone());
                free
            }
        };
        installed.push(browser);
    }
    installed
}

/// `wish`, or `wish-2`, `wish-3`, … where it is taken.
fn free_label(wish: &str, taken: &[String]) -> String {
    let is_free = |label: &String| !taken.contains(label);
    let mut numbered = (2..).map(|number| format!("{wish}-{number}"));
    Some(wish.to_owned()).filter(is_free).or_else(|| numbered.find(is_free)).unwrap_or_default()
}
