use safetensors::{Dtype, tensor::TensorView};

use super::*;

/// A cell that passed.
pub(in crate::analyse) fn view(id: &str, evidence: EvidenceGrade) -> CellView {
    let cell: Cell = id.parse().unwrap_or_else(|error| panic!("{error}"));
    CellView {
        id: id.to_owned(),
        browser: cell.browser.clone(),
        browser_version: String::new(),
        model: cell.model.to_string(),
        size: cell.size.to_string(),
        runtime: cell.runtime.to_string(),
        backend: cell.backend.to_string(),
        precision: cell.precision.to_string(),
        profile: cell.profile,
        status: Some(Status::Pass),
        flaky: false,
        evidence,
        implementation: None,
        agreement: None,
        accuracy: None,
        perplexity: None,
        median_ms: None,
        timing: None,
        doubt: None,
        error: None,
        answer: Vec::new(),
        run: "r".to_owned(),
    }
}

fn logits(values: &[f32], tokens: usize) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![1, tokens, values.len() / tokens], &bytes);
    let view = view.unwrap_or_else(|error| panic!("{error}"));
    safetensors::serialize([("logits", view)], None).unwrap_or_else(|error| panic!("{error}"))
}

fn of(backend: &str, precision: &str) -> String {
    format!("chromium/llama@tiny/webmatrix/{backend}/{precision}/default")
}

/// Every figure of every row, in a line each.
fn told(comparison: &Comparison) -> String {
    let number = |estimate: Option<Estimate>| match estimate {
        Some(Estimate { value, lo: Some(lo), hi: Some(hi), .. }) => format!("{value:.3} ({lo:.3}–{hi:.3})"),
        Some(estimate) => format!("{:.3}", estimate.value),
        None => "-".to_owned(),
    };
    let line = |row: &Row| {
        let memory = row.memory.as_ref().and_then(|memory| memory.reduction);
        let accuracy = row.accuracy.as_ref();
        format!(
            "{} {} memory {} latency {} {} cosine {} top-1 {} KL {} perplexity {} efficiency {}{}",
            row.backend,
            row.precision,
            memory.map_or_else(|| "-".to_owned(), |saved| format!("{saved:.3}")),
            number(row.latency.ratio),
            row.latency.says,
            number(accuracy.and_then(|a| a.cosine)),
            number(accuracy.and_then(|a| a.agreement)),
            number(accuracy.and_then(|a| a.divergence)),
            number(row.perplexity.as_ref().map(|p| p.perplexity)),
            number(row.efficiency),
            row.reason.as_ref().map(|reason| format!(" because {reason}")).unwrap_or_default(),
        )
    };
    comparison.rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn precisions_are_held_against_half_and_full() {
    let views = [
        view(&of("wasm", "fp32"), EvidenceGrade::Cpu),
        view(&of("wasm", "fp16"), EvidenceGrade::Cpu),
        view(&of("wasm", "int8"), EvidenceGrade::Cpu),
        view(&of("wasm", "int4"), EvidenceGrade::Cpu),
        view(&of("webgpu", "fp32"), EvidenceGrade::Software),
        view(&of("webgpu", "int4"), EvidenceGrade::Software),
        CellView {
            status: Some(Status::Wrong),
            error: Some("of a fault".into()),
            ..view(&of("webgpu", "int2"), EvidenceGrade::Software)
        },
    ];
    let uniform = logits(&[0.5; 12], 3);
    // The first row is ½, ½ and next to nothing, where the uniform one has ¼ each.
    let other = logits(&[9.0, 9.0, -90.0, -90.0, 0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0], 3);
    let texts = [vec![0, 1, 3]];
    let measured = |at: usize, samples: &'static [f64], bits: f64, outputs: &'static [u8]| Measured {
        view: &views[at],
        rounds: vec![samples.to_vec()].leak(),
        weights: Some((bits * 100.0, bits)),
        outputs: Some(outputs),
        texts: Some(&texts),
        phases: None,
    };
    let (uniform, other): (&'static [u8], &'static [u8]) = (uniform.leak(), other.leak());
    let cells = [
        measured(0, &[4.0, 4.1, 4.2, 4.1, 4.0], 32.0, uniform),
        measured(1, &[2.0, 2.1, 2.2, 2.1, 2.0], 16.0, uniform),
        measured(2, &[2.1, 2.0, 2.0, 2.2, 2.1], 8.0, uniform),
        measured(3, &[1.0, 1.0, 1.1, 1.0, 1.0], 4.5, other),
        measured(4, &[9.0; 5], 32.0, uniform),
        measured(5, &[1.0; 5], 4.5, other),
        measured(6, &[1.0; 5], 2.5, other),
    ];
    let comparison = comparison(Kind::Precisions, "r", &cells);
    insta::assert_snapshot!(told(&comparison), @r"
    wasm fp32 memory -1.000 latency 1.952 (1.864–2.050) slower cosine - top-1 - KL - perplexity 4.000 efficiency 0.256 (0.244–0.268)
    wasm fp16 memory 0.000 latency - the baseline cosine 1.000 top-1 1.000 (0.439–1.000) KL 0.000 perplexity 4.000 efficiency -
    wasm int8 memory 0.500 latency 1.000 (0.952–1.050) no difference shown cosine 1.000 top-1 1.000 (0.439–1.000) KL 0.000 perplexity 4.000 efficiency 2.000 (1.905–2.100)
    wasm int4 memory 0.719 latency 0.476 (0.455–0.524) faster cosine -0.359 top-1 0.667 (0.208–0.939) KL 16.305 perplexity 2.828 efficiency 7.467 (6.788–7.822)
    webgpu fp32 memory 0.000 latency - not measured on hardware cosine - top-1 - KL - perplexity 4.000 efficiency -
    webgpu int4 memory 0.859 latency - not measured on hardware cosine -0.359 top-1 0.667 (0.208–0.939) KL 16.305 perplexity 2.828 efficiency -
    webgpu int2 memory - latency - not measured cosine - top-1 - KL - perplexity - efficiency - because of a fault
    ");
}

#[test]
fn platforms_are_held_against_the_first_that_was_timed() {
    let views = [
        view(&of("webgpu", "fp32"), EvidenceGrade::Software),
        view(&of("wasm", "fp32"), EvidenceGrade::Cpu),
        view(&of("webnn", "fp32"), EvidenceGrade::Cpu),
        view(&of("webnn", "int4"), EvidenceGrade::Fallback),
    ];
    let rounds = [9.0, 2.0, 3.0, 1.0].map(|ms| vec![vec![ms; 5]]);
    let cells: Vec<Measured<'_>> = views
        .iter()
        .zip(&rounds)
        .map(|(view, rounds)| Measured { weights: Some((64.0, 32.0)), ..Measured::timed(view, rounds) })
        .collect();
    let comparison = comparison(Kind::Platforms, "r", &cells);
    insta::assert_snapshot!(told(&comparison), @r"
    webgpu fp32 memory 0.000 latency - not measured on hardware cosine - top-1 - KL - perplexity - efficiency -
    wasm fp32 memory 0.000 latency - the baseline cosine - top-1 - KL - perplexity - efficiency -
    webnn fp32 memory 0.000 latency 1.500 (1.500–1.500) slower cosine - top-1 - KL - perplexity - efficiency 0.667 (0.667–0.667)
    webnn int4 memory 0.000 latency - not measured on the backend asked for cosine - top-1 - KL - perplexity - efficiency -
    ");
    let against: Vec<Option<&str>> =
        comparison.rows.iter().map(|row| row.latency.against.as_deref()).collect();
    assert_eq!(against, [None, Some(of("wasm", "fp32").as_str()), Some(&of("wasm", "fp32")), None]);
}

#[test]
fn few_samples_conclude_nothing() {
    let views =
        [view(&of("wasm", "fp16"), EvidenceGrade::Cpu), view(&of("wasm", "int4"), EvidenceGrade::Cpu)];
    let rounds = [2.0, 1.0].map(|ms| vec![vec![ms; 2]]);
    let cells: Vec<Measured<'_>> =
        views.iter().zip(&rounds).map(|(view, rounds)| Measured::timed(view, rounds)).collect();
    let rows = comparison(Kind::Precisions, "r", &cells).rows;
    assert_eq!(
        (rows[0].latency.says.as_str(), rows[1].latency.says.as_str()),
        ("the baseline", "too few samples")
    );
    assert!(rows[1].latency.ratio.is_some_and(|ratio| ratio.value == 0.5 && ratio.lo.is_none()));
}

#[test]
fn cells_of_one_browser_that_took_turns_are_held_against_each_other_by_rounds() {
    let views =
        [view(&of("wasm", "fp16"), EvidenceGrade::Cpu), view(&of("wasm", "int4"), EvidenceGrade::Cpu)];
    // A machine that became slower and slower: between rounds by far more than the two differ.
    let slower =
        |factor: f64| -> Vec<Vec<f64>> { (1..=6).map(|round| vec![factor * f64::from(round); 2]).collect() };
    let rounds = [slower(1.0), slower(0.9)];
    let told = |browser: &str| {
        let mut views = views.clone();
        views[1].browser = browser.to_owned();
        let cells: Vec<Measured<'_>> =
            views.iter().zip(&rounds).map(|(view, rounds)| Measured::timed(view, rounds)).collect();
        let comparison = comparison(Kind::Precisions, "r", &cells);
        (comparison.interleaved, comparison.rows[1].latency.in_turn, comparison.rows[1].latency.says.clone())
    };
    assert_eq!(told("chromium"), (true, true, "faster".to_owned()));
    assert_eq!(told("firefox"), (false, false, "no difference shown".to_owned()));
}
