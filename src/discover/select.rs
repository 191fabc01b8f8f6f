//! Turns the labels the user asked for into browsers, and says which are not here and why.

use serde::Serialize;

use crate::discover::{DriverKind, Installed};
use crate::plan::axis::BrowserKind;

/// What became of the labels asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Browsers that can be driven, in the order asked for.
    pub found: Vec<Chosen>,
    /// Labels whose cells are `unavailable`.
    pub absent: Vec<Absent>,
}

/// A browser that answers for a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// The label as it was asked for.
    pub asked: String,
    /// The browser; its own label and kind say what really runs.
    pub browser: Installed,
    /// Why its label is not the one asked for.
    pub note: Option<String>,
}

/// A label nothing answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// The label as it was asked for.
    pub asked: String,
    /// The kind it names; `None` when it is neither a kind nor a label known here.
    pub kind: Option<BrowserKind>,
    /// Why nothing answers, and what to do.
    pub reason: String,
}

/// Finds the browsers for `labels`; `all` stands for every one that can be driven.
pub fn select<L: AsRef<str>>(labels: &[L], installed: &[Installed]) -> Selection {
    let mut selection = Selection::default();
    for label in labels.iter().map(AsRef::as_ref) {
        if label == "all" {
            for browser in installed {
                settle(&mut selection, &browser.label, browser, None);
            }
        } else if let Some(browser) = installed.iter().find(|browser| browser.label == label) {
            settle(&mut selection, label, browser, None);
        } else if let Some((browser, note)) = stand_in(label, installed) {
            settle(&mut selection, label, browser, Some(note));
        } else {
            selection.absent.push(absent(label, installed));
        }
    }
    selection
}

/// Puts a browser where it belongs, once.
fn settle(selection: &mut Selection, asked: &str, browser: &Installed, note: Option<String>) {
    if selection.found.iter().any(|chosen| chosen.asked == asked)
        || selection.absent.iter().any(|absent| absent.asked == asked)
    {
        return;
    }
    let asked = asked.to_owned();
    match browser.obstacle() {
        None => selection.found.push(Chosen { asked, browser: browser.clone(), note }),
        Some(problem) => {
            selection.absent.push(Absent { asked, kind: Some(browser.kind), reason: problem.to_string() });
        }
    }
}

/// Another browser that answers for a kind: its other channels, and Chromium for Chrome.
fn stand_in<'a>(label: &str, installed: &'a [Installed]) -> Option<(&'a Installed, String)> {
    let kind: BrowserKind = label.parse().ok()?;
    let same_kind = installed.iter().find(|browser| browser.kind == kind);
    let (browser, what) = match (same_kind, kind) {
        (Some(browser), _) => (browser, format!("the only {kind} here is {}", browser.label)),
        (None, BrowserKind::Chrome) => {
            let chromium = installed.iter().find(|browser| browser.kind == BrowserKind::Chromium)?;
            (chromium, "Google Chrome is not installed: Chromium answers for it".to_owned())
        }
        (None, _) => return None,
    };
    Some((browser, what))
}

fn absent(label: &str, installed: &[Installed]) -> Absent {
    let asked = label.to_owned();
    // `chrome-beta` names a kind and a channel.
    let named = label.split_once('-').map_or(label, |(kind, _)| kind);
    match named.parse::<BrowserKind>() {
        Ok(kind) => Absent {
            reason: format!(
                "{label} was not found on this machine: install it and {}, or name its program with \
                 --browser-path {label}={kind}:PATH",
                DriverKind::of(kind)
            ),
            asked,
            kind: Some(kind),
        },
        Err(_) => {
            let known: Vec<_> = installed.iter().map(|browser| browser.label.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Absent {
                reason: format!("no browser is called {label:?}: this machine has {known}"),
                asked,
                kind: None,
            }
        }
    }
}
