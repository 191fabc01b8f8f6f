//! The steps of the GitHub action and of the nightly workflow, in their order, as a runner runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::folder;

/// A runner's working folder, with the files by which steps speak to it.
struct Runner(tempfile::TempDir);

impl Runner {
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Runs a script of `ci/action`; its exit code and what it said.
    fn step(&self, script: &str, inputs: &[(&str, &str)]) -> (i32, String) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/action");
        let program = Path::new(env!("CARGO_BIN_EXE_webmatrix"));
        let folder = program.parent().unwrap_or_else(|| panic!("no folder of {}", program.display()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        let output = Command::new("bash")
            .arg(scripts.join(script))
            .current_dir(self.0.path())
            .env("PATH", std::env::join_paths(paths).unwrap_or_else(|error| panic!("{error}")))
            .env("GITHUB_OUTPUT", self.file("output"))
            .env("GITHUB_STEP_SUMMARY", self.file("summary"))
            .env("GITHUB_PATH", self.file("path"))
            .envs(inputs.iter().copied())
            .output()
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a part of a small matrix on the host.
    fn part(&self, shard: &str, out: &str) {
        let arguments = "--backends native-cpu --samples 2 --quiet";
        let inputs = [("WM_MATRIX", "quick"), ("WM_BROWSERS", "native"), ("WM_MODELS", "bert vit")];
        let more = [("WM_SHARD", shard), ("WM_ARGUMENTS", arguments), ("WM_OUT", out)];
        let (code, said) = self.step("run.sh", &[&inputs[..], &more].concat());
        assert_eq!((code, self.text("output")), (0, "exit-code=0\n".to_owned()), "{said}");
        std::fs::remove_file(self.file("output")).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[cfg(unix)]
#[test]
fn the_action_runs_reports_and_judges() {
    let runner = Runner(folder());
    let (code, said) = runner.step("build.sh", &[]);
    assert!(code == 0 && said.starts_with("webmatrix is "), "one is on the path already: {said}");
    runner.part("", "out");
    let (code, said) = runner.step("report.sh", &[("WM_OUT", "out")]);
    assert_eq!(code, 0, "{said}");
    for report in ["report.html", "report.json", "junit.xml", "can-i-run.json"] {
        assert!(runner.file("out").join(report).is_file(), "no {report}: {said}");
    }
    assert!(runner.text("summary").contains("bert"), "{}", runner.text("summary"));
    let verdict = |exit: &str| {
        runner.step("verdict.sh", &[("WM_BASELINE", ""), ("WM_EXIT_CODE", exit), ("WM_OUT", "out")])
    };
    assert_eq!((verdict("0").0, verdict("1").0), (0, 1));
}

#[cfg(unix)]
#[test]
fn a_night_is_merged_published_and_held_against_the_last() {
    let runner = Runner(folder());
    for night in 1..=2 {
        for (shard, part) in [("1/2", "parts/one"), ("2/2", "parts/two")] {
            runner.part(shard, part);
        }
        let (code, said) = runner.step("publish.sh", &[]);
        assert_eq!(code, 0, "night {night}: {said}");
        for page in ["index.html", "badge.json", "can-i-run.json", "junit.xml"] {
            assert!(runner.file("site").join(page).is_file(), "no {page}: {said}");
        }
        std::fs::remove_dir_all(runner.file("parts")).unwrap_or_else(|error| panic!("{error}"));
    }
    let inputs =
        [("WM_BASELINE", "previous"), ("WM_EXIT_CODE", "0"), ("WM_NO_CONFIRM", "1"), ("WM_OUT", "history")];
    let (code, said) = runner.step("verdict.sh", &inputs);
    assert_eq!(code, 0, "{said}");
    let (code, said) = runner.step("publish.sh", &[]);
    assert!(code == 3 && said.contains("no part of the run"), "{said}");
}
