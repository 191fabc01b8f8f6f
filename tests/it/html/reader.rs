//! A page in a real browser, and what it is asked.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use webmatrix::discover::{ThisMachine, UserBrowsers, discover, select};
use webmatrix::session::{LaunchSpec, Session, start};

/// What a page would complain of, told from its first line on.
const LISTENERS: &str = "window.complaints = [];
const complain = (kind, text) => window.complaints.push(kind + ': ' + text);
addEventListener('error', (event) => complain('error', event.message));
addEventListener('unhandledrejection', (event) => complain('rejection', event.reason));
addEventListener('securitypolicyviolation', (event) => complain('policy', event.violatedDirective + ' ' + event.blockedURI));
for (const level of ['error', 'warn']) console[level] = (...words) => complain(level, words.join(' '));
";

/// The page with its listeners: the policy lets this script run as well, and is otherwise what it was.
pub(super) fn listened(html: &str) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(LISTENERS));
    let allowed = html.replacen("script-src ", &format!("script-src 'sha256-{hash}' "), 1);
    let with = allowed.replacen("<title>", &format!("<script>{LISTENERS}</script>\n<title>"), 1);
    assert!(with.contains(&hash) && with.contains(LISTENERS), "the page has both places");
    with
}

/// A browser; none where it is not on this machine and need not be.
pub(super) async fn browser(label: &str, logs: &Path) -> Option<Box<dyn Session>> {
    let file = UserBrowsers::file(&ThisMachine)?;
    let user = UserBrowsers::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let selection = select(&[label], &discover(&ThisMachine, &user, &[]));
    let Some(found) = selection.found.first() else {
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        assert!(!required, "{label} is missing");
        eprintln!("not run: {label} is missing");
        return None;
    };
    let mut spec = LaunchSpec::new(found.browser.clone(), logs.to_owned());
    (spec.webgpu, spec.webnn) = (false, false);
    // axe-core reads ten thousand cells in one script: seconds on an idle machine, and this is no test of how idle it is.
    spec.deadlines.command = Duration::from_secs(240);
    Some(start(&spec).await.unwrap_or_else(|error| panic!("{label}: {error}")))
}

/// A page in a browser.
pub(super) struct Reader {
    pub(super) label: &'static str,
    pub(super) session: Box<dyn Session>,
    pub(super) url: String,
}

impl Reader {
    pub(super) async fn ask(&mut self, script: &str) -> Value {
        let answer = self.session.execute(script).await;
        // axe-core itself stands in front of what is asked of it.
        let end = script.lines().last().unwrap_or_default();
        answer.unwrap_or_else(|error| panic!("{}: {end}: {error}", self.label))
    }

    /// Goes where a link would, in the page that is open, and waits until it is shown.
    pub(super) async fn go(&mut self, hash: &str) {
        let hash = json!(hash);
        self.ask(&format!("performance.clearMarks('shown'); location.hash = {hash}")).await;
        self.wait().await;
    }

    /// Waits until what the address names is shown.
    pub(super) async fn wait(&mut self) {
        let shown = "return new Promise((done) => { const look = (times) => { \
                     const seen = performance.getEntriesByName('shown').length > 0; \
                     if (seen || times === 0) done(seen); else setTimeout(() => look(times - 1), 20); }; look(1000); })";
        assert_eq!(self.ask(shown).await, json!(true), "{}: nothing is shown", self.label);
    }

    /// Opens the page anew at a link.
    pub(super) async fn open(&mut self, hash: &str) {
        // Two addresses that differ behind # only are one document, which a browser would not load again.
        self.session.open("about:blank").await.unwrap_or_else(|error| panic!("{}: {error}", self.label));
        let url = format!("{}#{hash}", self.url);
        self.session.open(&url).await.unwrap_or_else(|error| panic!("{}: {error}", self.label));
        self.wait().await;
    }

    pub(super) async fn text(&mut self, selector: &str) -> String {
        let selector = json!(selector);
        let found =
            self.ask(&format!("return document.querySelector({selector})?.textContent ?? '(none)'")).await;
        found.as_str().unwrap_or_default().to_owned()
    }

    pub(super) async fn count(&mut self, selector: &str) -> u64 {
        let selector = json!(selector);
        self.ask(&format!("return document.querySelectorAll({selector}).length")).await.as_u64().unwrap_or(0)
    }

    /// Neither complaint nor request.
    pub(super) async fn is_quiet(&mut self, place: &str) {
        let said = self.ask("return window.complaints").await;
        assert_eq!(said, json!([]), "{} {place}", self.label);
        let asked = self.ask("return performance.getEntriesByType('resource').map((one) => one.name)").await;
        assert_eq!(asked, json!([]), "{} {place}", self.label);
    }

    /// Nothing that axe-core knows to keep people out, on light paper and on dark.
    pub(super) async fn is_accessible(&mut self, axe: &str, place: &str) {
        for scheme in ["light", "dark"] {
            self.ask(&format!("document.documentElement.style.colorScheme = '{scheme}'")).await;
            self.is_accessible_so(axe, &format!("{place}, {scheme}")).await;
        }
        self.ask("document.documentElement.style.colorScheme = ''").await;
    }

    async fn is_accessible_so(&mut self, axe: &str, place: &str) {
        let run = "return axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.flatMap(\
                   (one) => one.nodes.map((node) => one.id + ': ' + node.target.join(' ') + ': ' + node.failureSummary)))";
        let found = self.ask(&format!("{axe}\n{run}")).await;
        assert_eq!(found, json!([]), "{} {place}", self.label);
    }
}

/// axe-core; none where set-up was not asked to bring it.
pub(super) fn axe() -> Option<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/npm/node_modules/axe-core/axe.min.js");
    let found = std::fs::read_to_string(file).ok();
    if found.is_none() {
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        assert!(!required, "axe-core is missing: cargo xtask setup brings it");
        eprintln!("not checked: axe-core is missing");
    }
    found
}
