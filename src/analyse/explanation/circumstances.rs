//! What a cell ran under, and what of it differs between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::Known;
use crate::analyse::exported::{adapter, adapter_name};

/// What a cell ran under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Facts by name.
    facts: BTreeMap<String, String>,
    /// The browser's switches and preferences; none where no browser was started.
    switches: Option<BTreeSet<String>>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In the other run; none if there was none.
    pub there: Option<String>,
    /// In this run; none if there is none.
    pub here: Option<String>,
}

impl Circumstances {
    /// Of a cell in a run.
    pub fn of(known: &Known<'_>) -> Self {
        let view = &known.run.view;
        let mut facts = BTreeMap::new();
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                facts.insert(name.to_owned(), value.to_owned());
            }
        };
        add("webmatrix", &view.run.webmatrix_version);
        add("harness build", &view.run.harness);
        let arguments: Vec<String> = serde_json::from_str(&view.run.arguments).unwrap_or_default();
        add("command line", &arguments.join(" "));
        view.environment.iter().for_each(|fact| add(&format!("machine's {}", fact.name), &fact.value));
        if let Some((row, _)) = known.row() {
            add("browser version", &row.browser_version);
            let browser = view.browsers.iter().find(|browser| browser.label == row.browser);
            if let Some(browser) = browser {
                add("browser program", &browser.path);
                add("driver version", &browser.driver_version);
            }
            if let Some(plan) = known.plan {
                let features = plan.profiles.get(&row.profile).map(|features| features.join(" "));
                add("features", &features.unwrap_or_default());
                add("deadline", &format!("{} s", plan.deadlines.attempt_s));
            }
        }
        let decided = known.decided();
        if let Some(attempt) = decided {
            add("module", attempt.variant.as_deref().unwrap_or_default());
            add("adapter", &adapter(attempt).map(|adapter| adapter_name(&adapter)).unwrap_or_default());
        }
        let session = decided.and_then(|attempt| attempt.session.as_deref());
        let session = known.run.sessions.iter().find(|row| Some(row.session.as_str()) == session);
        Self { facts, switches: session.and_then(|row| switches(&row.facts)) }
    }

    /// What is not in these as it is in `here`.
    pub fn differences(&self, here: &Self) -> Vec<Difference> {
        let names: BTreeSet<&String> = self.facts.keys().chain(here.facts.keys()).collect();
        let mut differences: Vec<Difference> = names
            .into_iter()
            .map(|name| (name, self.facts.get(name), here.facts.get(name)))
            .filter(|(_, there, here)| there != here)
            .map(|(name, there, here)| Difference {
                what: name.clone(),
                there: there.cloned(),
                here: here.cloned(),
            })
            .collect();
        if let (Some(there), Some(here)) = (&self.switches, &here.switches) {
            let what = || "browser switch".to_owned();
            let gone = there.difference(here);
            differences.extend(gone.map(|switch| Difference {
                what: what(),
                there: Some(switch.clone()),
                here: None,
            }));
            let new = here.difference(there);
            differences.extend(new.map(|switch| Difference {
                what: what(),
                there: None,
                here: Some(switch.clone()),
            }));
        }
        differences
    }
}

/// The switches that a session was asked to have, and its preferences, of what the session stage tells.
fn switches(facts: &str) -> Option<BTreeSet<String>> {
    let facts: Value = serde_json::from_str(facts).ok()?;
    let args = facts.pointer("/flags/requested")?.as_array()?;
    let args = args.iter().filter_map(Value::as_str).flat_map(|arg| match arg.split_once("-features=") {
        Some((list, features)) => features.split(',').map(|name| format!("{list}-features={name}")).collect(),
        None => vec![arg.to_owned()],
    });
    let prefs = facts.pointer("/asked/moz:firefoxOptions/prefs").and_then(Value::as_object);
    let prefs = prefs.into_iter().flatten().map(|(name, value)| format!("pref {name}={value}"));
    Some(args.chain(prefs).collect())
}
