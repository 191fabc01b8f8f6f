//! What other tools are given, read by readers that are not ours: of a run whose every word is hostile.

mod hostile;
mod schema;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use hostile::{BROWSER, Kind, MODEL, REASON, cells, database};

/// A report of the hostile run.
fn report(folder: &Path, further: &[&str]) -> Output {
    let output = webmatrix(folder, &[&["report"], further].concat());
    assert_eq!(code(&output), 0, "{further:?}: {}", stderr(&output));
    output
}

fn text(format: &str) -> String {
    let folder = folder();
    database(folder.path());
    stdout(&report(folder.path(), &["--format", format]))
}

fn json(format: &str) -> Value {
    serde_json::from_str(&text(format)).unwrap_or_else(|error| panic!("{format}: {error}"))
}

/// Fails with what the schema has against the document.
fn valid(schema: &str, document: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap_or_else(|error| panic!("{error}"));
    let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}"));
    let faults: Vec<String> =
        validator.iter_errors(document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{}\n{document:#}", faults.join("\n"));
}

/// Whether text holds what a document of another format must not: what turns or is not seen.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// What percent-encoding stands for.
fn decoded(address: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = address.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex: String = rest.by_ref().take(2).map(char::from).collect();
        bytes.push(u8::from_str_radix(&hex, 16).unwrap_or_else(|error| panic!("{hex}: {error}")));
    }
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn json_and_lines_of_json_lose_nothing() {
    let document = json("json");
    let told = document["runs"][0]["cells"].as_array().cloned().unwrap_or_default();
    let lines: Vec<Value> = text("jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}")))
        .collect();
    // Behind the cells is an op case.
    assert_eq!((told.len(), lines.len()), (cells().len(), cells().len() + 1));
    for (cell, (kind, id)) in told.iter().zip(cells()) {
        assert_eq!(
            (cell["id"].as_str(), cell["model"].as_str()),
            (Some(id.as_str()), Some(MODEL)),
            "{kind:?}"
        );
    }
    assert_eq!(lines[0]["error"], told[0]["error"]);
    let wrong = told.iter().find(|cell| cell["status"] == "wrong").map(|cell| &cell["error"]);
    assert_eq!(wrong.and_then(Value::as_str), Some(REASON));
}

#[test]
fn a_spreadsheet_reads_every_cell_and_computes_none() {
    let text = text("csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().unwrap_or_else(|e| panic!("{e}")).iter().map(str::to_owned).collect();
    let records: Vec<csv::StringRecord> =
        reader.records().map(|record| record.unwrap_or_else(|error| panic!("{error}"))).collect();
    assert_eq!(records.len(), cells().len());
    let at = |record: &csv::StringRecord, name: &str| {
        let at = header.iter().position(|known| known == name).unwrap_or_else(|| panic!("no {name}"));
        record[at].to_owned()
    };
    for (record, (kind, id)) in records.iter().zip(cells()) {
        let dangerous = |field: &&str| field.trim_start().starts_with(['=', '+', '-', '@', '＝', '\t', '\r']);
        assert!(!record.iter().any(|field| dangerous(&field)), "{kind:?}: {record:?}");
        // A quote in front is all that a text is changed by.
        assert_eq!(at(record, "id").trim_start_matches('\''), id);
        assert_eq!(at(record, "model").strip_prefix('\'').unwrap_or(MODEL), MODEL);
        let ms = at(record, "median_ms");
        assert!(ms.is_empty() || ms.parse::<f64>().is_ok(), "{ms}");
    }
    assert_eq!(at(&records[0], "median_ms"), "5.5");
}

#[test]
fn junit_has_a_case_for_each_with_its_words_and_its_tries() {
    let xml = text("junit");
    assert!(is_plain(&xml), "{xml}");
    let read = junit_parser::from_reader(xml.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    assert_eq!((read.suites.len(), read.name.as_str()), (1, "webmatrix"));
    let suite = &read.suites[0];
    assert_eq!((suite.tests, suite.failures, suite.errors, suite.skipped), (10, 1, 2, 2));
    let find = |kind: Kind| {
        let at = cells().iter().position(|(known, _)| *known == kind).unwrap_or_else(|| panic!("{kind:?}"));
        &suite.cases[at]
    };
    for (case, (kind, id)) in suite.cases.iter().zip(cells()) {
        let written_out = [
            ("\\u{202e}", "\u{202e}"),
            ("\\u{0}", "\u{0}"),
            ("\\u{1b}", "\u{1b}"),
            ("\\u{a}", "\n"),
            ("\\u{9}", "\t"),
        ];
        let back = written_out
            .iter()
            .fold(case.original_name.clone(), |name, (told, meant)| name.replace(told, meant));
        assert_eq!(back, id, "{kind:?}");
        let told = |name: &str| case.properties.hashmap.get(name).map(String::as_str);
        assert!(told("evidence").is_some() && told("status").is_some(), "{kind:?}");
        // A software GPU's time is told nowhere.
        let timed = matches!(kind, Kind::Steady | Kind::Flaky);
        assert_eq!(told("median_ms").is_some(), timed, "{kind:?}");
    }
    let flaky = find(Kind::Flaky);
    assert!(flaky.status.is_success() && flaky.reruns.len() == 1, "{flaky:?}");
    assert!(matches!(flaky.reruns[0].kind, junit_parser::RerunOrFlakyKind::FlakyError));
    assert!(flaky.reruns[0].message.starts_with("crash: =cmd|' /C calc'!A0"), "{flaky:?}");
    let wrong = find(Kind::Wrong).status.failure_as_ref();
    assert_eq!(wrong.failure_type, "wrong");
    assert!(wrong.message.starts_with("wrong: =cmd|' /C calc'!A0"), "{wrong:?}");
    // Every line of it, though a message has one; by a reader that knows what stands for signs.
    let document = roxmltree::Document::parse(&xml).unwrap_or_else(|error| panic!("{error}"));
    let texts: Vec<&str> =
        document.descendants().filter(|n| n.has_tag_name("failure")).filter_map(|n| n.text()).collect();
    let written_out = texts[0].replace("\\u{2067}\\u{202e}\\u{0}\\u{1b}", "\u{2067}\u{202e}\u{0}\u{1b}");
    assert_eq!((texts.len(), written_out.as_str()), (1, REASON));
    assert!(!document.descendants().any(|node| node.has_tag_name("script")));
    assert!(find(Kind::Crash).status.is_error() && find(Kind::Crash).system_out.is_some());
    assert!(find(Kind::Absent).status.skipped_as_ref().message.starts_with("unsupported: "));
    assert!(find(Kind::Open).status.is_skipped());
}

#[test]
fn junit_is_valid_but_for_what_its_schema_is_too_old_for() {
    let xml = text("junit");
    let plain = schema::without_later_parts(&xml);
    assert!(
        plain.len() < xml.len() && plain.contains("<system-out>") && plain.contains("<skipped"),
        "{plain}"
    );
    let Some(faults) = schema::faults(&plain) else { return };
    assert_eq!(faults, [""; 0], "{plain}");
    // The validator finds what is wrong: a count that is missing, and one more part than there may be.
    for (part, other) in
        [(" tests=", " tested="), ("<testcase ", "<testcase><properties/></testcase><testcase ")]
    {
        let spoilt = plain.replace(part, other);
        assert!(schema::faults(&spoilt).is_some_and(|faults| !faults.is_empty()), "{part}");
    }
    // And what is left out is all that it has against the document as it is.
    let told = schema::faults(&xml).unwrap_or_default();
    let known =
        ["'properties'", "attribute 'skipped'", "'skipped', attribute", "'flakyError'", "'flakyFailure'"];
    assert!(
        !told.is_empty() && told.iter().all(|fault| known.iter().any(|known| fault.contains(known))),
        "{told:#?}"
    );
}

#[test]
fn a_wptreport_is_of_one_browser_and_knows_what_is_intermittent() {
    let document = json("wptreport");
    valid(include_str!("../fixtures/schemas/wptreport.json"), &document);
    assert_eq!(document["run_info"]["product"], BROWSER);
    let results = document["results"].as_array().cloned().unwrap_or_default();
    let mut told = BTreeMap::new();
    for (result, (kind, id)) in results.iter().zip(cells()) {
        let test = result["test"].as_str().unwrap_or_default();
        assert_eq!(decoded(test), format!("/webmatrix/{id}"));
        assert!(is_plain(result["message"].as_str().unwrap_or_default()));
        let subtests = result["subtests"].as_array().cloned().unwrap_or_default();
        let subtests: Vec<&str> = subtests.iter().filter_map(|subtest| subtest["status"].as_str()).collect();
        told.insert(format!("{kind:?}"), format!("{} {}", result["status"], subtests.join(",")));
        if kind == Kind::Flaky {
            assert_eq!(result["known_intermittent"], serde_json::json!(["CRASH"]));
        }
    }
    let told: Vec<String> = told.iter().map(|(kind, told)| format!("{kind}: {told}")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    Absent: "PRECONDITION_FAILED" 
    Crash: "CRASH" 
    Error: "ERROR" 
    Fallback: "OK" PASS
    Flaky: "OK" PASS
    Open: "SKIP" 
    Software: "OK" PASS
    Steady: "OK" PASS
    Wrong: "OK" FAIL
    "#);
    // What is of several browsers has to be taken apart.
    let folder = folder();
    database(folder.path());
    hostile::second_browser(folder.path());
    let refused = webmatrix(folder.path(), &["report", "--format", "wptreport"]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("choose one with --browsers"), "{}", stderr(&refused));
    let one = report(folder.path(), &["--format", "wptreport", "--browsers", "firefox"]);
    let one: Value = serde_json::from_str(&stdout(&one)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (&one["run_info"]["product"], one["results"].as_array().map(Vec::len)),
        (&"firefox".into(), Some(1))
    );
    let names = stdout(&report(folder.path(), &["--format", "wptreport", "--out", "apart/"]));
    assert_eq!(names.lines().count(), 2, "{names}");
    let inside = std::fs::read_dir(folder.path().join("apart")).map(Iterator::count);
    assert_eq!(inside.ok(), Some(2), "whatever a label holds, its file stays in the folder: {names}");
}

#[test]
fn speeds_are_of_what_was_timed_and_proven_at_once() {
    let steady = cells().iter().find(|(kind, _)| *kind == Kind::Steady).map(|(_, id)| id.clone());
    let bmf = json("bmf");
    valid(include_str!("../fixtures/schemas/bmf.json"), &bmf);
    let with_latency: Vec<String> = bmf
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, measures)| measures.get("latency").is_some())
        .map(|(name, _)| decoded(name))
        .collect();
    assert_eq!(with_latency, steady.iter().cloned().collect::<Vec<_>>());
    let latency = bmf.as_object().into_iter().flatten().find_map(|(_, measures)| measures.get("latency"));
    // Milliseconds 1 to 10, in the service's nanoseconds.
    assert_eq!(latency, Some(&serde_json::json!({ "value": 5.5e6, "lower_value": 2e6, "upper_value": 9e6 })));
    let gha = json("gha-benchmark");
    valid(include_str!("../fixtures/schemas/gha-benchmark.json"), &gha);
    let entries = gha.as_array().cloned().unwrap_or_default();
    assert_eq!(entries.len(), 1, "{gha}");
    assert_eq!((&entries[0]["value"], &entries[0]["unit"]), (&5.5.into(), &"ms".into()));
    assert_eq!(entries[0]["range"], "2.000 to 9.000");
    // It goes into Markdown and HTML as it is.
    let all = gha.to_string();
    assert!(is_plain(&all) && !all.contains(['<', '`']), "{all}");
}

#[test]
fn a_badge_counts_and_is_green_for_nothing_else() {
    let schema = include_str!("../fixtures/schemas/shields-endpoint.json");
    let badge = json("badge");
    valid(schema, &badge);
    assert_eq!(badge["message"], "2 proven, 2 on software, 1 by fallback, 3 failed, 1 open");
    assert_eq!(badge["color"], "red");
    let folder = folder();
    database(folder.path());
    hostile::second_browser(folder.path());
    let names = stdout(&report(folder.path(), &["--format", "badge", "--out", "badges/"]));
    let badges: Vec<Value> = names
        .lines()
        .map(|name| {
            let text =
                std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    assert_eq!(badges.len(), 3, "{names}");
    for badge in &badges {
        valid(schema, badge);
        assert!(is_plain(badge["label"].as_str().unwrap_or_default()), "{badge}");
    }
    assert_eq!((&badges[2]["message"], &badges[2]["color"]), (&"1 proven".into(), &"brightgreen".into()));
    assert_eq!(badges[2]["label"], "webmatrix firefox");
}

#[test]
fn can_i_run_chooses_what_is_proven_and_an_application_reads_it() {
    let folder = folder();
    database(folder.path());
    hostile::second_browser(folder.path());
    let names = stdout(&report(folder.path(), &["--format", "can-i-run", "--out", "app/"]));
    assert_eq!(names.lines().count(), 2, "{names}");
    let app = folder.path().join("app");
    let text = std::fs::read_to_string(app.join("can-i-run.json")).unwrap_or_else(|e| panic!("{e}"));
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    valid(include_str!("../../pages/can-i-run.schema.json"), &document);
    let place = &document["places"][0];
    assert_eq!(
        place["adapter"],
        serde_json::json!({"vendor": "<b>nv</b>", "architecture": "x", "software": false})
    );
    let model = &place["models"][0];
    assert_eq!(model["model"], MODEL);
    let choices = model["choices"].as_array().cloned().unwrap_or_default();
    let told: Vec<String> = choices
        .iter()
        .map(|c| format!("{} {} {}", c["backend"], c["evidence"], c["speed"]["median_ms"]))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    "wasm" "cpu" 5.5
    "webgpu" "software" null
    "#);
    let refused = model["refused"].as_array().cloned().unwrap_or_default();
    // What failed, what is flaky, and what another backend did.
    assert_eq!(choices.len() + refused.len(), cells().len());
    assert!(refused.iter().any(|refused| refused["reason"] == "passed only on a retry"), "{refused:#?}");
    let reader = include_str!("../../pages/can-i-run.js");
    assert!(reader.len() <= 1024, "{}", reader.len());
    let script = r#"
        import fs from "node:fs";
        import { canIRun } from "./can-i-run.js";
        const json = JSON.parse(fs.readFileSync("can-i-run.json"));
        const ua = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
        const gpu = { vendor: "<b>nv</b>", architecture: "x" };
        const id = json.places[0].models[0].model + "@tiny";
        const say = (found) => console.log(found ? `${found.choice.backend} ${found.exact}` : found);
        say(canIRun(json, id, { ua, gpu }));
        say(canIRun(json, id, { ua: ua.replace("156", "157"), gpu }));
        say(canIRun(json, id, { ua, gpu: { vendor: "other", architecture: "y" } }));
        say(canIRun(json, "__proto__@tiny", { ua, gpu }));
        say(canIRun(json, id, { ua: "curl", gpu }));
        say(canIRun(json, "bert@tiny", { ua: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0" }));
    "#;
    let node = Command::new("node").args(["--input-type=module", "-e", script]).current_dir(&app).output();
    let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
    let Ok(output) = node else {
        assert!(!required, "node is missing");
        return;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output), @r"
    wasm true
    wasm false
    wasm false
    null
    null
    wasm true
    ");
}

#[test]
fn markdown_shows_hostile_words_as_words() {
    for format in ["markdown", "summary"] {
        let text = text(format);
        assert!(is_plain(&text) && !text.contains("://") && !text.contains("www."), "{text}");
        // Of the steady and the flaky cell: a software GPU's time is none, and a fallback's is another's.
        assert_eq!(text.matches("5.50 ms").count(), 2, "{text}");
        let mut widths = Vec::new();
        let mut seen = String::new();
        for event in Parser::new_ext(&text, Options::all()) {
            match event {
                Event::Html(_) | Event::InlineHtml(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {
                    panic!("{format}: {event:?}\n{text}")
                }
                Event::Start(Tag::Link { .. } | Tag::Image { .. }) => panic!("{format}: {event:?}"),
                Event::Start(Tag::TableRow | Tag::TableHead) => widths.push(0),
                Event::Start(Tag::TableCell) => {
                    if let Some(width) = widths.last_mut() {
                        *width += 1;
                    }
                }
                Event::Text(words) | Event::Code(words) => seen.push_str(&words),
                _ => {}
            }
        }
        assert!(seen.contains("<script>alert(1)</script>"), "{seen}");
        assert!(!widths.is_empty() && widths.iter().all(|width| *width >= 2), "{widths:?}");
    }
}

#[test]
fn the_page_holds_no_more_scripts_than_its_own() {
    let folder = folder();
    database(folder.path());
    report(folder.path(), &["--format", "html", "--out", "hostile.html"]);
    let page = std::fs::read_to_string(folder.path().join("hostile.html")).unwrap_or_else(|e| panic!("{e}"));
    assert!(!page.contains("<script>alert(1)") && !page.contains("<b>nv"), "a name is markup");
    assert!(page.contains("alert(1)"), "the name is shown");
}

#[test]
fn parquet_is_read_back_with_its_types_by_another_reader() {
    let folder = folder();
    database(folder.path());
    let name = stdout(&report(folder.path(), &["--format", "parquet", "--out", "it's.parquet"]));
    assert_eq!(name.trim(), "it's.parquet");
    let file = std::fs::File::open(folder.path().join("it's.parquet")).unwrap_or_else(|e| panic!("{e}"));
    let reader = SerializedFileReader::new(file).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> = reader
        .metadata()
        .file_metadata()
        .schema()
        .get_fields()
        .iter()
        .map(|field| field.name().to_owned())
        .collect();
    let at = |name: &str| names.iter().position(|known| known == name).unwrap_or_else(|| panic!("no {name}"));
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap_or_else(|error| panic!("{error}"))
        .map(|row| row.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    assert_eq!(rows.len(), cells().len());
    for (row, (kind, id)) in rows.iter().zip(cells()) {
        assert_eq!(row.get_string(at("cell")).unwrap_or_else(|e| panic!("{e}")), &id, "{kind:?}");
        assert_eq!(row.get_string(at("model")).unwrap_or_else(|e| panic!("{e}")), MODEL);
    }
    assert_eq!(rows[0].get_double(at("median_ms")).ok(), Some(5.5));
    let samples = rows[0].get_list(at("samples_ms")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((samples.len(), samples.elements().first()), (10, Some(&Field::Double(1.0))));
    // It is no text.
    assert_eq!(code(&webmatrix(folder.path(), &["report", "--format", "parquet", "--out", "-"])), 2);
}
