//! What each browser is told on its own system, to the letter.

use std::time::Duration;

use crate::discover::{Channel, Installed, Os, Source};
use crate::plan::axis::BrowserKind;
use crate::session::capabilities::capabilities;
use crate::session::spec::{Deadlines, LaunchSpec, NoSandbox, Surroundings};

fn spec(kind: BrowserKind, channel: Channel, path: &str) -> LaunchSpec {
    let browser = Installed {
        label: kind.as_str().to_owned(),
        kind,
        channel,
        version: None,
        path: path.into(),
        source: Source::KnownPlace,
        driver: None,
        problems: Vec::new(),
    };
    let mut spec = LaunchSpec::new(browser, "logs".into());
    spec.deadlines = Deadlines {
        page_load: Duration::from_secs(60),
        command: Duration::from_secs(30),
        ..Deadlines::default()
    };
    spec
}

fn on(os: Os) -> Surroundings {
    Surroundings { os, root: false, little_shared_memory: false }
}

fn told(spec: &LaunchSpec, here: Surroundings) -> String {
    let capabilities = capabilities(spec, here);
    serde_json::to_string_pretty(&capabilities).expect("values serialise")
}

fn args(spec: &LaunchSpec, here: Surroundings) -> Vec<String> {
    super::requested_args(&capabilities(spec, here))
}

#[test]
fn chromium_as_root_on_linux() {
    let spec = spec(BrowserKind::Chromium, Channel::Stable, "/usr/lib/chromium/chromium");
    let here = Surroundings { root: true, little_shared_memory: true, ..on(Os::Linux) };
    insta::assert_snapshot!(told(&spec, here), @r#"
    {
      "browserName": "chrome",
      "goog:chromeOptions": {
        "args": [
          "--headless=new",
          "--no-sandbox",
          "--disable-dev-shm-usage",
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
          "--disable-background-timer-throttling",
          "--disable-backgrounding-occluded-windows",
          "--disable-renderer-backgrounding",
          "--enable-unsafe-webgpu",
          "--enable-features=WebMachineLearningNeuralNetwork"
        ],
        "binary": "/usr/lib/chromium/chromium"
      },
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
}

#[test]
fn chrome_on_windows() {
    let spec =
        spec(BrowserKind::Chrome, Channel::Stable, r"C:\Program Files\Google\Chrome\Application\chrome.exe");
    insta::assert_snapshot!(told(&spec, on(Os::Windows)), @r#"
    {
      "browserName": "chrome",
      "goog:chromeOptions": {
        "args": [
          "--headless=new",
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
          "--disable-background-timer-throttling",
          "--disable-backgrounding-occluded-windows",
          "--disable-renderer-backgrounding",
          "--enable-unsafe-webgpu",
          "--enable-features=WebMachineLearningNeuralNetwork,WebNNOnnxRuntime"
        ],
        "binary": "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe"
      },
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
}

#[test]
fn edge_on_windows() {
    let spec = spec(
        BrowserKind::Edge,
        Channel::Stable,
        r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    );
    insta::assert_snapshot!(told(&spec, on(Os::Windows)), @r#"
    {
      "browserName": "MicrosoftEdge",
      "ms:edgeOptions": {
        "args": [
          "--headless=new",
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
          "--disable-background-timer-throttling",
          "--disable-backgrounding-occluded-windows",
          "--disable-renderer-backgrounding",
          "--enable-unsafe-webgpu",
          "--enable-features=WebMachineLearningNeuralNetwork,WebNNOnnxRuntime"
        ],
        "binary": "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe"
      },
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
}

#[test]
fn firefox_anywhere() {
    let spec = spec(BrowserKind::Firefox, Channel::Stable, "/usr/lib/firefox/firefox");
    insta::assert_snapshot!(told(&spec, on(Os::Linux)), @r#"
    {
      "browserName": "firefox",
      "moz:firefoxOptions": {
        "args": [
          "-headless"
        ],
        "binary": "/usr/lib/firefox/firefox",
        "prefs": {
          "app.update.disabledForTesting": true,
          "datareporting.policy.dataSubmissionEnabled": false,
          "dom.min_background_timeout_value": 0,
          "dom.timeout.enable_budget_timer_throttling": false,
          "dom.webgpu.enabled": true,
          "gfx.webgpu.ignore-blocklist": true,
          "network.http.speculative-parallel-limit": 0
        }
      },
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
}

#[test]
fn safari_on_macos() {
    let safari = spec(BrowserKind::Safari, Channel::Stable, "/Applications/Safari.app/Contents/MacOS/Safari");
    insta::assert_snapshot!(told(&safari, on(Os::MacOs)), @r#"
    {
      "browserName": "safari",
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
    let preview = spec(BrowserKind::Safari, Channel::Preview, "/unused");
    insta::assert_snapshot!(told(&preview, on(Os::MacOs)), @r#"
    {
      "browserName": "Safari Technology Preview",
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      }
    }
    "#);
}

#[test]
fn webkitgtk_on_linux() {
    let spec = spec(BrowserKind::WebKitGtk, Channel::Stable, "/usr/libexec/webkit2gtk-4.1/MiniBrowser");
    insta::assert_snapshot!(told(&spec, on(Os::Linux)), @r#"
    {
      "browserName": "MiniBrowser",
      "timeouts": {
        "pageLoad": 60000,
        "script": 30000
      },
      "webkitgtk:browserOptions": {
        "args": [
          "--automation"
        ],
        "binary": "/usr/libexec/webkit2gtk-4.1/MiniBrowser"
      }
    }
    "#);
}

#[test]
fn all_features_stand_in_one_list() {
    let mut spec = spec(BrowserKind::Chrome, Channel::Stable, "/opt/google/chrome/chrome");
    spec.hardware_gpu = true;
    spec.developer_features = true;
    spec.extra_args = vec!["--enable-features=Mine".to_owned(), "--my-flag".to_owned()];
    let args = args(&spec, on(Os::Linux));
    let lists: Vec<_> = args.iter().filter(|arg| arg.starts_with("--enable-features")).collect();
    assert_eq!(lists, ["--enable-features=Vulkan,WebMachineLearningNeuralNetwork,Mine"]);
    for flag in
        ["--use-angle=vulkan", "--disable-vulkan-surface", "--enable-webgpu-developer-features", "--my-flag"]
    {
        assert!(args.iter().any(|arg| arg == flag), "{flag}");
    }
}

#[test]
fn vulkan_is_only_asked_for_where_a_gpu_is_and_only_on_linux() {
    let mut spec = spec(BrowserKind::Chrome, Channel::Stable, "/chrome");
    assert!(!args(&spec, on(Os::Linux)).iter().any(|arg| arg.contains("ulkan")));
    spec.hardware_gpu = true;
    assert!(!args(&spec, on(Os::MacOs)).iter().any(|arg| arg.contains("ulkan")));
}

#[test]
fn the_sandbox_is_left_only_as_root_or_on_request() {
    let root = Surroundings { root: true, ..on(Os::Linux) };
    for (no_sandbox, here, expected) in [
        (NoSandbox::Auto, on(Os::Linux), false),
        (NoSandbox::Auto, root, true),
        (NoSandbox::Always, on(Os::Linux), true),
        (NoSandbox::Never, root, false),
    ] {
        let mut spec = spec(BrowserKind::Chromium, Channel::Stable, "/chromium");
        spec.no_sandbox = no_sandbox;
        let has = args(&spec, here).iter().any(|arg| arg == "--no-sandbox");
        assert_eq!(has, expected, "{no_sandbox:?} {here:?}");
    }
}

#[test]
fn the_users_preferences_win() {
    let mut spec = spec(BrowserKind::Firefox, Channel::Nightly, "/firefox");
    spec.prefs.insert("dom.webgpu.enabled".to_owned(), false.into());
    let capabilities = capabilities(&spec, on(Os::Linux));
    assert_eq!(capabilities["moz:firefoxOptions"]["prefs"]["dom.webgpu.enabled"], false);
}
