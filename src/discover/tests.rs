//! The layouts of three systems, each on a machine made of a table.

use std::fmt::Write as _;

use crate::discover::fake::FakeHost;
use crate::discover::{BrowserPath, Installed, Os, UserBrowsers, discover, select};

/// One line a browser, so that a snapshot shows the whole machine at a glance.
fn table(installed: &[Installed]) -> String {
    let mut text = String::new();
    for browser in installed {
        let version = browser.version.as_ref().map_or("?".to_owned(), ToString::to_string);
        let _ = writeln!(
            text,
            "{} {} {version} [{}] {}",
            browser.label,
            browser.channel,
            browser.source,
            browser.path.display()
        );
        if let Some(driver) = &browser.driver {
            let version = driver.version.as_ref().map_or("?".to_owned(), ToString::to_string);
            let _ = writeln!(text, "    driver {version} {} {:?}", driver.path.display(), driver.args);
        }
        for problem in &browser.problems {
            let _ = writeln!(text, "    {:?} {problem}", problem.severity);
        }
    }
    text
}

fn found(host: &FakeHost) -> Vec<Installed> {
    discover(host, &UserBrowsers::default(), &[])
}

fn debian() -> FakeHost {
    FakeHost::new(Os::Linux)
        .variable("PATH", "/usr/local/bin:/usr/bin:/home/user/.cargo/bin")
        .file(
            "/usr/bin/chromium",
            "#!/bin/sh\nAPPNAME=chromium\nLIBDIR=/usr/lib/$APPNAME\nexec $LIBDIR/$APPNAME\n",
        )
        .program(
            "/usr/lib/chromium/chromium",
            "Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)",
        )
        .program("/usr/bin/chromedriver", "ChromeDriver 156.0.8078.79 (a21ce)")
        .link("/usr/bin/firefox-esr", "/usr/lib/firefox-esr/firefox-esr")
        .program("/usr/lib/firefox-esr/firefox-esr", "Mozilla Firefox 153.7.0esr")
        .program("/home/user/.cargo/bin/geckodriver", "geckodriver 0.37.1")
        .program("/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser", "")
        .file("/usr/bin/WebKitWebDriver", "\x7fELF")
        .file("/usr/bin/Xvfb", "\x7fELF")
        .file("/var/lib/dpkg/status", "Package: webkit2gtk-driver\nVersion: 2.50.6-1~deb12u2\n")
}

#[test]
fn debian_has_three_engines_and_wrappers_are_followed() {
    insta::assert_snapshot!(table(&found(&debian())), @r#"
    firefox esr 153.7.0esr [path] /usr/lib/firefox-esr/firefox-esr
        driver 0.37.1 /home/user/.cargo/bin/geckodriver []
    chromium stable 156.0.8078.79 [path] /usr/lib/chromium/chromium
        driver 156.0.8078.79 /usr/bin/chromedriver []
    webkitgtk stable 2.50.6 [known place] /usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser
        driver ? /usr/bin/WebKitWebDriver []
    "#);
}

#[test]
fn vendors_packages_on_linux_in_every_channel() {
    let mut host = FakeHost::new(Os::Linux).variable("PATH", "/usr/bin");
    for (suffix, name, version) in [
        ("", "stable", "Google Chrome 150.0.1.2 "),
        ("-beta", "beta", "Google Chrome 151.0.1.2 beta"),
        ("-unstable", "unstable", "Google Chrome 152.0.1.2 dev"),
    ] {
        host = host
            .link(
                &format!("/usr/bin/google-chrome-{name}"),
                &format!("/opt/google/chrome{suffix}/google-chrome"),
            )
            .file(
                &format!("/opt/google/chrome{suffix}/google-chrome"),
                "#!/bin/bash\nexec -a \"$0\" \"$HERE/chrome\"",
            )
            .program(&format!("/opt/google/chrome{suffix}/chrome"), version);
    }
    let host = host
        .program("/usr/bin/chromedriver", "ChromeDriver 150.0.1.99 (x)")
        .program("/opt/microsoft/msedge/msedge", "Microsoft Edge 150.0.4000.10")
        .program("/opt/microsoft/msedge/msedgedriver", "Microsoft Edge WebDriver 150.0.4001.10 (x)")
        .program("/opt/microsoft/msedge-beta/msedge", "Microsoft Edge 151.0.4000.10 beta")
        .program("/opt/firefox-nightly/firefox", "Mozilla Firefox 155.0a1")
        .program("/usr/lib/firefox/firefox", "Mozilla Firefox 154.0")
        .program("/usr/bin/geckodriver", "geckodriver 0.29.0");
    insta::assert_snapshot!(table(&found(&host)), @r#"
    chrome stable 150.0.1.2 [path] /opt/google/chrome/chrome
        driver 150.0.1.99 /usr/bin/chromedriver []
    chrome-beta beta 151.0.1.2 [path] /opt/google/chrome-beta/chrome
        driver 150.0.1.99 /usr/bin/chromedriver []
        Error chromedriver 150.0.1.99 does not match chrome 151.0.1.2: npx @puppeteer/browsers install chromedriver@151.0.1.2, and set WEBMATRIX_CHROMEDRIVER to it
    chrome-dev dev 152.0.1.2 [path] /opt/google/chrome-unstable/chrome
        driver 150.0.1.99 /usr/bin/chromedriver []
        Error chromedriver 150.0.1.99 does not match chrome 152.0.1.2: npx @puppeteer/browsers install chromedriver@152.0.1.2, and set WEBMATRIX_CHROMEDRIVER to it
    edge stable 150.0.4000.10 [known place] /opt/microsoft/msedge/msedge
        driver 150.0.4001.10 /opt/microsoft/msedge/msedgedriver []
        Error msedgedriver 150.0.4001.10 does not match edge 150.0.4000.10: install Microsoft Edge WebDriver 150.0.4000.10, and set WEBMATRIX_MSEDGEDRIVER to it
    edge-beta beta 151.0.4000.10 [known place] /opt/microsoft/msedge-beta/msedge
        Error msedgedriver was not found: install Microsoft Edge WebDriver 151.0.4000.10, and set WEBMATRIX_MSEDGEDRIVER to it
    firefox stable 154.0 [known place] /usr/lib/firefox/firefox
        driver 0.29.0 /usr/bin/geckodriver []
        Error geckodriver 0.29.0 is older than 0.30.0: cargo install geckodriver
    firefox-nightly nightly 155.0a1 [known place] /opt/firefox-nightly/firefox
        driver 0.29.0 /usr/bin/geckodriver []
        Error geckodriver 0.29.0 is older than 0.30.0: cargo install geckodriver
    "#);
}

#[test]
fn snaps_and_flatpaks_are_taken_out_of_their_wrappers() {
    let host = FakeHost::new(Os::Linux)
        .variable("PATH", "/usr/bin:/snap/bin")
        .file("/usr/bin/firefox", "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n")
        .file("/usr/bin/snap", "\x7fELF")
        .link("/snap/bin/firefox", "/usr/bin/snap")
        .link("/snap/bin/chromium", "/usr/bin/snap")
        .program("/snap/firefox/current/usr/lib/firefox/firefox", "Mozilla Firefox 154.0")
        .program("/snap/firefox/current/usr/lib/firefox/geckodriver", "geckodriver 0.37.1")
        .program("/snap/chromium/current/usr/lib/chromium-browser/chrome", "Chromium 150.0.7.1 snap")
        .program("/snap/chromium/current/usr/lib/chromium-browser/chromedriver", "ChromeDriver 150.0.7.1")
        .file("/home/user/.local/share/flatpak/exports/bin/com.google.Chrome", "#!/bin/sh\nexec flatpak run")
        .program(
            "/home/user/.local/share/flatpak/app/com.google.Chrome/current/active/files/extra/chrome",
            "Google Chrome 150.0.7.9",
        );
    insta::assert_snapshot!(table(&found(&host)), @r#"
    chrome stable 150.0.7.9 [known place] /home/user/.local/share/flatpak/app/com.google.Chrome/current/active/files/extra/chrome
        driver 150.0.7.1 /snap/chromium/current/usr/lib/chromium-browser/chromedriver []
        Note it is started outside of its flatpak, whose confinement hides profiles: nothing, if it starts
    firefox stable 154.0 [path] /snap/firefox/current/usr/lib/firefox/firefox
        driver 0.37.1 /snap/firefox/current/usr/lib/firefox/geckodriver []
        Note it is started outside of its snap, whose confinement hides profiles: nothing, if it starts
    chromium stable 150.0.7.1 [path] /snap/chromium/current/usr/lib/chromium-browser/chrome
        driver 150.0.7.1 /snap/chromium/current/usr/lib/chromium-browser/chromedriver []
        Note it is started outside of its snap, whose confinement hides profiles: nothing, if it starts
    "#);
}

fn plist(version: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>\
         <key>CFBundleShortVersionString</key><string>{version}</string></dict></plist>"
    )
}

#[test]
fn macos_has_applications_of_the_system_and_of_the_user() {
    let mut host = FakeHost::new(Os::MacOs)
        .variable("PATH", "/opt/homebrew/bin:/usr/bin")
        .program("/usr/bin/safaridriver", "Included with Safari 26.0 (21622.1)")
        .program(
            "/Applications/Safari Technology Preview.app/Contents/MacOS/safaridriver",
            "Included with Safari Technology Preview 26.2",
        )
        .program("/opt/homebrew/bin/chromedriver", "ChromeDriver 150.0.7.1 (x)");
    for (root, app, program, version) in [
        ("/Applications", "Safari", "Safari", "26.0"),
        ("/Applications", "Safari Technology Preview", "Safari Technology Preview", "26.2"),
        ("/Applications", "Google Chrome", "Google Chrome", "150.0.7.9"),
        ("/Users/user/Applications", "Google Chrome Canary", "Google Chrome Canary", "153.0.1.1"),
        ("/Applications", "Microsoft Edge", "Microsoft Edge", "150.0.4000.10"),
        ("/Applications", "Firefox Developer Edition", "firefox", "155.0"),
    ] {
        host = host
            .file(&format!("{root}/{app}.app/Contents/MacOS/{program}"), "")
            .file(&format!("{root}/{app}.app/Contents/Info.plist"), plist(version));
    }
    insta::assert_snapshot!(table(&found(&host)), @r#"
    chrome stable 150.0.7.9 [known place] /Applications/Google Chrome.app/Contents/MacOS/Google Chrome
        driver 150.0.7.1 /opt/homebrew/bin/chromedriver []
    chrome-canary canary 153.0.1.1 [known place] /Users/user/Applications/Google Chrome Canary.app/Contents/MacOS/Google Chrome Canary
        driver 150.0.7.1 /opt/homebrew/bin/chromedriver []
        Error chromedriver 150.0.7.1 does not match chrome 153.0.1.1: npx @puppeteer/browsers install chromedriver@153.0.1.1, and set WEBMATRIX_CHROMEDRIVER to it
    edge stable 150.0.4000.10 [known place] /Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge
        Error msedgedriver was not found: install Microsoft Edge WebDriver 150.0.4000.10, and set WEBMATRIX_MSEDGEDRIVER to it
    firefox dev 155.0 [known place] /Applications/Firefox Developer Edition.app/Contents/MacOS/firefox
        Error geckodriver was not found: brew install geckodriver
    safari stable 26.0 [known place] /Applications/Safari.app/Contents/MacOS/Safari
        driver 26.0 /usr/bin/safaridriver []
        Note Safari answers WebDriver only once remote automation was allowed: run `safaridriver --enable` once
    safari-preview preview 26.2 [known place] /Applications/Safari Technology Preview.app/Contents/MacOS/Safari Technology Preview
        driver 26.2 /Applications/Safari Technology Preview.app/Contents/MacOS/safaridriver []
        Note Safari answers WebDriver only once remote automation was allowed: run `safaridriver --enable` once
    "#);
}

/// A Windows program whose resources tell this version.
fn exe(version: [u16; 4]) -> Vec<u8> {
    let mut program = b"MZ".to_vec();
    program.extend([0xBD, 0x04, 0xEF, 0xFE, 0, 0, 1, 0]);
    for half in [version[1], version[0], version[3], version[2]] {
        program.extend(half.to_le_bytes());
    }
    program
}

#[test]
fn windows_has_programs_of_the_system_and_of_the_user() {
    let host = FakeHost::new(Os::Windows)
        .variable("PROGRAMFILES", r"C:\Program Files")
        .variable("PROGRAMFILES(X86)", r"C:\Program Files (x86)")
        .variable("LOCALAPPDATA", r"C:\Users\user\AppData\Local")
        .variable("PATH", r"C:\Windows;C:\tools")
        .file(r"C:\Program Files\Google\Chrome\Application\chrome.exe", exe([150, 0, 7000, 9]))
        .file(r"C:\Users\user\AppData\Local\Google\Chrome SxS\Application\chrome.exe", exe([153, 0, 1, 1]))
        .file(r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe", exe([150, 0, 4000, 10]))
        .program(r"C:\tools\msedgedriver.exe", "Microsoft Edge WebDriver 150.0.4000.10 (x)")
        .program(r"C:\tools\chromedriver.exe", "ChromeDriver 150.0.7000.1 (x)")
        .file(r"C:\Program Files\Firefox Nightly\firefox.exe", "MZ")
        .file(r"C:\Program Files\Firefox Nightly\application.ini", "[App]\r\nVersion=155.0a1\r\n")
        .program(r"C:\Users\user\.cargo\bin\geckodriver.exe", "geckodriver 0.37.1");
    insta::assert_snapshot!(table(&found(&host)), @r#"
    chrome stable 150.0.7000.9 [known place] C:\Program Files\Google\Chrome\Application\chrome.exe
        driver 150.0.7000.1 C:\tools\chromedriver.exe []
    chrome-canary canary 153.0.1.1 [known place] C:\Users\user\AppData\Local\Google\Chrome SxS\Application\chrome.exe
        driver 150.0.7000.1 C:\tools\chromedriver.exe []
        Error chromedriver 150.0.7000.1 does not match chrome 153.0.1.1: npx @puppeteer/browsers install chromedriver@153.0.1.1, and set WEBMATRIX_CHROMEDRIVER to it
    edge stable 150.0.4000.10 [known place] C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe
        driver 150.0.4000.10 C:\tools\msedgedriver.exe []
    firefox nightly 155.0a1 [known place] C:\Program Files\Firefox Nightly\firefox.exe
        driver 0.37.1 C:\Users\user\.cargo\bin\geckodriver.exe []
    "#);
}

#[test]
fn what_the_user_names_comes_first_and_is_missed_when_absent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("browsers.toml");
    let text = "[browsers.chromium-webnn]\nkind = \"chromium\"\npath = \"/opt/shell\"\n\
                driver_args = [\"--disable-build-check\"]\n\
                [browsers.old]\nkind = \"firefox\"\npath = \"/opt/old/firefox\"\ndriver = \"/opt/old/gecko\"\n";
    std::fs::write(&file, text).expect("written");
    let user = UserBrowsers::load(&file).expect("understood");
    let flag: BrowserPath = "mine=chromium:/usr/bin/chromium".parse().expect("fits the shape");
    let host = debian()
        .program("/opt/shell", "Chromium 147.0.7000.1")
        .variable("WEBMATRIX_CHROME", "/opt/missing/chrome")
        .variable("WEBMATRIX_GECKODRIVER", "/opt/missing/geckodriver");
    let installed = discover(&host, &user, &[flag]);
    insta::assert_snapshot!(table(&installed), @r#"
    chrome unknown ? [environment] /opt/missing/chrome
        Error /opt/missing/chrome does not exist: correct WEBMATRIX_CHROME
    old unknown ? [config] /opt/old/firefox
        Error /opt/old/firefox does not exist: correct it with `webmatrix browsers add`, or remove it
    firefox esr 153.7.0esr [path] /usr/lib/firefox-esr/firefox-esr
        Error WEBMATRIX_GECKODRIVER names /opt/missing/geckodriver, which does not exist: cargo install geckodriver
    mine unknown 156.0.8078.79 [flag] /usr/lib/chromium/chromium
        driver 156.0.8078.79 /usr/bin/chromedriver []
    chromium-webnn unknown 147.0.7000.1 [config] /opt/shell
        driver 156.0.8078.79 /usr/bin/chromedriver ["--disable-build-check"]
        Note chromedriver 156.0.8078.79 does not match chromium 147.0.7000.1: apt install chromium-driver, or set WEBMATRIX_CHROMEDRIVER to a chromedriver of this version
    webkitgtk stable 2.50.6 [known place] /usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser
        driver ? /usr/bin/WebKitWebDriver []
    "#);

    let selection = select(&["all"], &installed);
    let labels: Vec<_> = selection.found.iter().map(|chosen| chosen.asked.as_str()).collect();
    assert_eq!(labels, ["mine", "chromium-webnn", "webkitgtk"]);
}

#[test]
fn labels_asked_for_are_found_or_missed_with_a_reason() {
    let selection =
        select(&["chrome", "firefox", "edge", "safari-preview", "netscape", "firefox"], &found(&debian()));
    let found: Vec<_> = selection
        .found
        .iter()
        .map(|c| (c.asked.as_str(), c.browser.label.as_str(), c.note.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("chrome", "chromium", Some("Google Chrome is not installed: Chromium answers for it")),
            ("firefox", "firefox", None),
        ]
    );
    let absent: Vec<_> = selection.absent.iter().map(|absent| absent.reason.as_str()).collect();
    insta::assert_debug_snapshot!(absent, @r#"
    [
        "edge was not found on this machine: install it and msedgedriver, or name its program with --browser-path edge=edge:PATH",
        "safari-preview was not found on this machine: install it and safaridriver, or name its program with --browser-path safari-preview=safari:PATH",
        "no browser is called \"netscape\": this machine has firefox, chromium, webkitgtk",
    ]
    "#);
}
