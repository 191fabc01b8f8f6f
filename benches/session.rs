//! What a full session with a fresh Chromium costs (start, open a page, close), beside Selenium's Python
//! client on the same browser, driver and page, in turn. `WEBMATRIX_PYTHON` names a Python that has
//! the package `selenium`; without it only our own figures are printed.
#![expect(clippy::print_stdout, reason = "this is what a benchmark is for")]

use std::process::Command;
use std::time::Instant;

use webmatrix::discover::{Installed, ThisMachine, UserBrowsers, discover, select};
use webmatrix::session::{LaunchSpec, start};

const ROUNDS: usize = 10;
const PAGE: &str = "data:text/html,<title>here</title>";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = UserBrowsers::file(&ThisMachine).ok_or_else(|| anyhow::anyhow!("no configuration folder"))?;
    let user = UserBrowsers::load(&file)?;
    let installed = discover(&ThisMachine, &user, &[]);
    let selection = select(&["chromium"], &installed);
    let Some(found) = selection.found.first() else {
        println!("no Chromium on this machine: nothing was measured");
        return Ok(());
    };
    let python = std::env::var("WEBMATRIX_PYTHON").ok();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // One round of each is not counted: it fills the file cache.
    for round in 0..=ROUNDS {
        let own = session(&found.browser).await?;
        let other = python.as_deref().map(|python| selenium(python, &found.browser)).transpose()?;
        if round > 0 {
            ours.push(own);
            theirs.extend(other);
        }
    }
    report("webmatrix", ours.clone());
    if !theirs.is_empty() {
        report("ratio", ours.iter().zip(&theirs).map(|(a, b)| a / b).collect());
        report("selenium", theirs);
    }
    Ok(())
}

/// Seconds of one of our sessions.
async fn session(browser: &Installed) -> anyhow::Result<f64> {
    let logs = tempfile::tempdir()?;
    let spec = LaunchSpec::new(browser.clone(), logs.path().to_owned());
    let begun = Instant::now();
    let mut session = start(&spec).await?;
    session.open(PAGE).await?;
    session.close().await;
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds of one of Selenium's, by its own clock.
fn selenium(python: &str, browser: &Installed) -> anyhow::Result<f64> {
    let driver = browser.driver.as_ref().ok_or_else(|| anyhow::anyhow!("Chromium has no driver here"))?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/bench/selenium_session.py");
    let output = Command::new(python).arg(script).arg(&browser.path).arg(&driver.path).arg(PAGE).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn report(name: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    println!(
        "{name:<10} median {:.3} min {least:.3} max {most:.3} n {}",
        figures[figures.len() / 2],
        figures.len()
    );
}
