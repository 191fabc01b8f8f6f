//! `webmatrix models quantize`: a folder's weights in fewer bits, and what that costs.

use std::time::{Duration, Instant};

use serde::Serialize;
use webmatrix_wire::Precision;

use crate::analyse::accuracy;
use crate::cli::args::{ModelsFormat, PrintArgs, QuantizeArgs};
use crate::cli::{out, reporter, signals, table};
use crate::collect::{
    Accuracy, Given, QuantiseError, QuantiseOrder, QuantisedModel, Stop, StoredMatrix, Wish, quantise,
    write_quantised,
};
use crate::error::{Exit, ExitStatus, Failure};

/// The version of the document.
const VERSION: u32 = 1;
/// How often people are told how it goes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was done, as a document: `--format json`, and `quantisation.json` in the folder.
#[derive(Debug, Serialize)]
struct Record<'a> {
    version: u32,
    webmatrix: &'static str,
    class: &'static str,
    /// At which the folder is to be run.
    precision: Precision,
    /// What was done, what it costs in bits, and how the outputs compare with those at full precision.
    accuracy: &'a Accuracy,
    /// Bytes that the matrices took as float16.
    half_bytes: u64,
    matrices: &'a [StoredMatrix],
}

pub(in crate::cli) async fn run(args: QuantizeArgs) -> Result<ExitStatus, Failure> {
    let order = order(&args)?;
    let reporting = reporter::start(&PrintArgs { format: None, quiet: args.quiet });
    let events = reporting.events();
    let stop = Stop::default();
    signals::listen(stop.clone(), events.clone());
    let told = {
        let events = events.clone();
        let since = std::sync::Mutex::new((Instant::now(), 0_usize));
        move |what: &str| {
            let Ok(mut since) = since.lock() else { return };
            since.1 += 1;
            if since.0.elapsed() > PATIENCE {
                since.0 = Instant::now();
                events.note(format!("step {}: {what}", since.1));
            }
        }
    };
    let made = quantise(&order, &stop, told).await;
    reporting.end();
    let made = made.map_err(failure)?;
    let accuracy = accuracy(&made.how, &made.full, &made.outputs);
    let accuracy = accuracy.ok_or_else(|| {
        Failure::text(
            ExitStatus::BadData,
            "the outputs at full precision and those of the quantised weights do not compare",
        )
    })?;
    let record = record(&made, &accuracy);
    let text = serde_json::to_string_pretty(&record).exit(ExitStatus::BadData)?;
    let bytes = {
        let (order, stop) = (order.clone(), stop.clone());
        let (made, text) = (&made, &text);
        tokio::task::block_in_place(move || write_quantised(&order, made, text.as_bytes(), &stop))
    };
    let bytes = bytes.map_err(failure)?;
    match args.format {
        ModelsFormat::Json => out::line(&text),
        ModelsFormat::Table => out::text(&self::text(&record, &order, bytes)),
    }
    Ok(ExitStatus::AsExpected)
}

fn failure(error: QuantiseError) -> Failure {
    let status = match &error {
        QuantiseError::Stopped => ExitStatus::Interrupted,
        _ => ExitStatus::BadData,
    };
    Failure::new(status, error)
}

fn order(args: &QuantizeArgs) -> Result<QuantiseOrder, Failure> {
    let allots = matches!(args.precision, None | Some(Precision::Int4 | Precision::Mixed));
    if args.budget_bits.is_some() && !allots {
        let text = "--budget-bits allots bits matrix by matrix: give it alone, or with --precision int4 (no matrix gets \
                    fewer than 4) or mixed";
        return Err(Failure::text(ExitStatus::Usage, text));
    }
    let gptq = if args.gptq {
        Some(true)
    } else if args.no_gptq {
        Some(false)
    } else {
        None
    };
    Ok(QuantiseOrder {
        folder: args.model_dir.clone(),
        class: args.class,
        wish: Wish {
            precision: args.precision,
            scheme: args.scheme,
            fit: args.fit,
            gptq,
            keep: args.keep.clone(),
            budget_bits: args.budget_bits,
        },
        given: Given {
            images: args.given.image.clone(),
            audio: args.given.audio.clone(),
            texts: args.given.text.clone(),
            corpus: None,
        },
        out: args.out.clone(),
        force: args.force,
    })
}

fn record<'a>(made: &'a QuantisedModel, accuracy: &'a Accuracy) -> Record<'a> {
    Record {
        version: VERSION,
        webmatrix: env!("CARGO_PKG_VERSION"),
        class: made.class.as_str(),
        precision: made.precision,
        accuracy,
        half_bytes: 2 * made.how.weights,
        matrices: &made.matrices,
    }
}

fn text(record: &Record<'_>, order: &QuantiseOrder, bytes: u64) -> String {
    let rows = record.matrices.iter().map(|matrix| {
        let shape: Vec<String> = matrix.shape.iter().map(ToString::to_string).collect();
        let bits = format!("{:.2}", matrix.bits_per_weight);
        vec![matrix.name.clone(), shape.join("×"), matrix.scheme.clone(), bits, matrix.bytes.to_string()]
    });
    let header = ["matrix", "shape", "scheme", "bits a weight", "bytes"];
    let mut text = table::table(&header, &rows.collect::<Vec<_>>());
    let how = &record.accuracy.quantisation;
    let schemes: Vec<String> =
        how.schemes.iter().map(|(scheme, count)| format!("{count} {scheme}")).collect();
    text.push_str(&format!(
        "\nschemes: {}; scales by {}; {}\n",
        schemes.join(", "),
        how.fit,
        how.calibration.as_ref().map_or_else(
            || "every code by itself".to_owned(),
            |calibration| format!("codes by GPTQ on {calibration}")
        )
    ));
    text.push_str(&format!(
        "measured: {:.3} bits a weight in matrices, {:.3} in the whole model, scales included: {:.1} % less than fp16; \
         model.safetensors has {bytes} bytes\n",
        how.bits_per_weight,
        how.model_bits_per_weight,
        100.0 * record.accuracy.saved()
    ));
    text.push_str(&format!(
        "accuracy, on inputs that nothing was calibrated with, against {} at full precision:\n",
        record.accuracy.reference
    ));
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
    let rows = record.accuracy.outputs.iter().map(|output| {
        let [cosine, error, same, nats] =
            [output.cosine, output.relative_error, output.agreement, output.divergence].map(number);
        vec![output.name.clone(), cosine, error, same, nats]
    });
    let header = ["output", "cosine", "relative error", "same choices", "divergence (nats)"];
    text.push_str(&table::table(&header, &rows.collect::<Vec<_>>()));
    let (class, precision, folder) = (record.class, record.precision, order.out.display());
    text.push_str(&format!(
        "folder: {folder}\nrun it: webmatrix run --models {class} --weights {class}={folder} --precisions {precision}\n"
    ));
    text
}
