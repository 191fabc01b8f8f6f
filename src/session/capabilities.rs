//! The exact capabilities that a driver gets for a [`LaunchSpec`]: a pure function, so that browsers
//! which cannot be had here are still tested to the letter.

use serde_json::{Map, Value, json};

use crate::discover::{Channel, Os};
use crate::plan::axis::BrowserKind;
use crate::session::flags::{Flags, apart};
use crate::session::spec::{LaunchSpec, NoSandbox, Surroundings};

/// Chromium without its own errands: no updates, no sync, no first-run pages, no crash uploads.
///
/// Not `--disable-crashpad-for-testing`, though the crash handler leaves the process group: with it
/// Chromium 156 never finishes a navigation.
const CHROMIUM_QUIET: &[&str] = &[
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-extensions",
    "--metrics-recording-only",
    "--disable-breakpad",
    "--password-store=basic",
    "--use-mock-keychain",
];

/// A page that nobody looks at runs as fast as one in front.
const CHROMIUM_UNTHROTTLED: &[&str] = &[
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
];

/// The `alwaysMatch` part of New Session for this browser.
///
/// No profile is named here: chromedriver, msedgedriver and geckodriver make a fresh one each time, in
/// the temporary folder that the session gives them. Told of one, chromedriver does not open the first
/// tab itself any more, and waits for ever for the one that a headless shell never opens.
pub fn capabilities(spec: &LaunchSpec, here: Surroundings) -> Value {
    let mut capabilities = match spec.browser.kind {
        BrowserKind::Chrome | BrowserKind::Chromium => {
            json!({ "browserName": "chrome", "goog:chromeOptions": chromium(spec, here) })
        }
        BrowserKind::Edge => {
            json!({ "browserName": "MicrosoftEdge", "ms:edgeOptions": chromium(spec, here) })
        }
        BrowserKind::Firefox => json!({ "browserName": "firefox", "moz:firefoxOptions": firefox(spec) }),
        // Safari takes no path, no arguments and no preferences: the driver decides which Safari.
        BrowserKind::Safari if spec.browser.channel == Channel::Preview => {
            json!({ "browserName": "Safari Technology Preview" })
        }
        BrowserKind::Safari => json!({ "browserName": "safari" }),
        BrowserKind::WebKitGtk => {
            // Without `--automation`, or with an argument MiniBrowser does not know, New Session
            // never ends.
            let mut args = Flags::default();
            args.add("--automation");
            args.extend(&spec.extra_args);
            json!({
                "browserName": "MiniBrowser",
                "webkitgtk:browserOptions": { "binary": spec.browser.path, "args": args.finish() },
            })
        }
    };
    // The browser's own timeouts end a command a little before ours would, for its error says more.
    capabilities["timeouts"] = json!({
        "pageLoad": milliseconds(spec.deadlines.page_load),
        "script": milliseconds(spec.deadlines.command),
    });
    capabilities
}

/// The arguments that the capabilities ask the browser for, to compare with what it really got.
pub(super) fn requested_args(capabilities: &Value) -> Vec<String> {
    let options = ["goog:chromeOptions", "ms:edgeOptions", "moz:firefoxOptions", "webkitgtk:browserOptions"];
    let args = options.into_iter().find_map(|key| capabilities.get(key)?.get("args")?.as_array());
    args.into_iter().flatten().filter_map(|arg| arg.as_str().map(str::to_owned)).collect()
}

/// What a browser is started to be: nothing of what runs in it could tell that it was another.
const MODES: [&str; 4] = ["--headless=new", "-headless", "--no-sandbox", "--automation"];

/// The switches and preferences of a launch that can be left out one at a time: each feature of a list by itself, preferences
/// as `pref NAME`. Those without which a driven browser does not start on this machine are not among them.
pub fn switches(spec: &LaunchSpec, here: Surroundings) -> Vec<String> {
    let asked = capabilities(spec, here);
    let mut switches = apart(&requested_args(&asked));
    switches.retain(|switch| !MODES.contains(&switch.as_str()));
    let prefs = asked.pointer("/moz:firefoxOptions/prefs").and_then(Value::as_object);
    switches.extend(prefs.into_iter().flatten().map(|(name, _)| pref(name)));
    switches
}

/// A preference as a switch is named.
fn pref(name: &str) -> String {
    format!("pref {name}")
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Options of Chrome, Chromium and Edge.
fn chromium(spec: &LaunchSpec, here: Surroundings) -> Value {
    let mut flags = Flags::default();
    if spec.headless {
        flags.add("--headless=new");
    }
    if spec.no_sandbox == NoSandbox::Always || spec.no_sandbox == NoSandbox::Auto && here.root {
        flags.add("--no-sandbox");
    }
    if here.little_shared_memory {
        flags.add("--disable-dev-shm-usage");
    }
    flags.extend(CHROMIUM_QUIET.iter().copied());
    flags.extend(CHROMIUM_UNTHROTTLED.iter().copied());
    if spec.webgpu {
        flags.add("--enable-unsafe-webgpu");
        if spec.hardware_gpu && here.os == Os::Linux {
            flags.extend(["--use-angle=vulkan", "--disable-vulkan-surface", "--enable-features=Vulkan"]);
        }
        if spec.developer_features {
            flags.add("--enable-webgpu-developer-features");
        }
    }
    if spec.webnn {
        flags.add("--enable-features=WebMachineLearningNeuralNetwork");
        if here.os == Os::Windows {
            flags.add("--enable-features=WebNNOnnxRuntime");
        }
    }
    flags.extend(&spec.extra_args);
    json!({ "binary": spec.browser.path, "args": flags.without(&spec.without).finish() })
}

/// Options of Firefox.
fn firefox(spec: &LaunchSpec) -> Value {
    let mut prefs = Map::from_iter([
        // Quiet.
        ("app.update.disabledForTesting".to_owned(), json!(true)),
        ("datareporting.policy.dataSubmissionEnabled".to_owned(), json!(false)),
        ("network.http.speculative-parallel-limit".to_owned(), json!(0)),
        // Unthrottled.
        ("dom.min_background_timeout_value".to_owned(), json!(0)),
        ("dom.timeout.enable_budget_timer_throttling".to_owned(), json!(false)),
    ]);
    if spec.webgpu {
        prefs.insert("dom.webgpu.enabled".to_owned(), json!(true));
        // The blocklist names every software adapter.
        prefs.insert("gfx.webgpu.ignore-blocklist".to_owned(), json!(true));
    }
    prefs.extend(spec.prefs.clone());
    let mut args = Flags::default();
    if spec.headless {
        args.add("-headless");
    }
    args.extend(&spec.extra_args);
    prefs.retain(|name, _| !spec.without.iter().any(|left_out| *left_out == pref(name)));
    json!({ "binary": spec.browser.path, "args": args.without(&spec.without).finish(), "prefs": prefs })
}

#[cfg(test)]
mod tests;
