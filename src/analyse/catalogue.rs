//! What is known of the model classes: what they are, how large they are, and where they were measured to run.

use serde::Serialize;
use webmatrix_engine::run::weight_shapes;
use webmatrix_wire::{EvidenceGrade, Precision, Status};

use super::footprint::footprint;
use super::speed::timed;
use super::view::CellView;
use crate::plan::{ModelClass, NATIVE, Size};

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelEntry {
    /// Its name.
    pub class: &'static str,
    /// What goes in and what comes out.
    pub modality: &'static str,
    /// How it is built.
    pub family: &'static str,
    /// What it does.
    pub task: &'static str,
    /// The size that parameters and memory are of.
    pub size: &'static str,
    /// Weights of that size, counted from the shapes that its config implies.
    pub parameters: u64,
    /// Memory of the weights, computed from the same shapes.
    pub memory: Vec<MemoryAt>,
    /// What the latest run that measured the class found; none without one.
    pub measured: Option<Measured>,
}

/// Memory of the weights at one precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryAt {
    /// The precision.
    pub precision: Precision,
    /// Scales included.
    pub bytes: u64,
    /// The same, for each weight.
    pub bits_per_weight: f64,
}

/// What a run found of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The run.
    pub run: String,
    /// When it was started, UTC, RFC 3339.
    pub started_at: String,
    /// Where the class was proven.
    pub passes: Vec<Place>,
    /// Where it ran and was not.
    pub failures: Vec<Place>,
    /// Where it is best run; none if no timing can say so.
    pub recommended: Option<Place>,
    /// Why there, or why nowhere.
    pub reason: String,
}

/// A backend of a browser that ran the class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The browser's label.
    pub browser: String,
    /// Its version, empty if not known.
    pub browser_version: String,
    /// The backend.
    pub backend: String,
    /// The model's size.
    pub size: String,
    /// Precision of the weights.
    pub precision: String,
    /// The status.
    pub status: Status,
    /// The grade.
    pub evidence: EvidenceGrade,
    /// Median of the timed inferences.
    pub median_ms: Option<f64>,
}

/// The precisions that memory is told for.
const PRECISIONS: [Precision; 6] =
    [Precision::Fp32, Precision::Fp16, Precision::Int8, Precision::Int4, Precision::Int3, Precision::Int2];

/// The class with the memory of its twin of this size.
///
/// # Errors
/// If the engine cannot build it, or the size is of no twin.
pub fn entry(class: ModelClass, size: Size, measured: Option<Measured>) -> Result<ModelEntry, String> {
    let shapes = weight_shapes(class.as_str(), size.as_str()).map_err(|error| format!("{class}: {error}"))?;
    let shapes: Vec<&[usize]> = shapes.values().map(Vec::as_slice).collect();
    let parameters = shapes.iter().map(|shape| shape.iter().product::<usize>() as u64).sum();
    let memory = PRECISIONS.into_iter().filter_map(|precision| {
        let bytes = footprint(&shapes, precision)?;
        Some(MemoryAt { precision, bytes, bits_per_weight: bytes as f64 * 8.0 / parameters as f64 })
    });
    let info = class.info();
    Ok(ModelEntry {
        class: info.name,
        modality: info.modality,
        family: info.family,
        task: info.task,
        size: size.as_str(),
        parameters,
        memory: memory.collect(),
        measured,
    })
}

/// What a run's cells say of a class; none if none of them ran.
pub fn measured(run: &str, started_at: &str, cells: &[CellView]) -> Option<Measured> {
    let ran = cells.iter().filter_map(|cell| {
        let status =
            cell.status.filter(|status| *status == Status::Pass || crate::collect::is_unexpected(*status))?;
        Some((
            cell.is_green(),
            Place {
                browser: cell.browser.clone(),
                browser_version: cell.browser_version.clone(),
                backend: cell.backend.clone(),
                size: cell.size.clone(),
                precision: cell.precision.clone(),
                status,
                evidence: cell.evidence,
                median_ms: cell.median_ms,
            },
        ))
    });
    let (passes, failures): (Vec<_>, Vec<_>) = ran.partition(|(green, _)| *green);
    let places = |all: Vec<(bool, Place)>| all.into_iter().map(|(_, place)| place).collect::<Vec<_>>();
    let (passes, failures) = (places(passes), places(failures));
    if passes.is_empty() && failures.is_empty() {
        return None;
    }
    let (recommended, reason) = recommend(&passes);
    Some(Measured {
        run: run.to_owned(),
        started_at: started_at.to_owned(),
        passes,
        failures,
        recommended,
        reason,
    })
}

/// The browser and backend with the lowest median, of those whose time means something: a software GPU's says
/// nothing about a GPU, a fallback's is another backend's, and the host is no browser.
fn recommend(passes: &[Place]) -> (Option<Place>, String) {
    let in_browsers = || passes.iter().filter(|place| place.browser != NATIVE);
    let counts = |place: &&Place| timed(place.evidence).is_ok();
    let size = |place: &Place| Size::NAMES.iter().position(|name| *name == place.size);
    // Times of different sizes say nothing about each other: the largest model is the one to serve.
    let largest = in_browsers().filter(counts).filter(|place| place.median_ms.is_some()).map(size).max();
    let timed: Vec<(&Place, f64)> = in_browsers()
        .filter(counts)
        .filter(|place| Some(size(place)) == largest)
        .filter_map(|place| Some((place, place.median_ms?)))
        .collect();
    let best = timed.iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
    let Some((place, ms)) = best else {
        let reason = match in_browsers().count() {
            0 if passes.is_empty() => "it passed nowhere",
            0 => "it was measured on the host only",
            _ => "it was timed on software GPUs or by fallback only, which says nothing about speed",
        };
        return (None, reason.to_owned());
    };
    let others = in_browsers().count() - timed.len();
    let left_out =
        if others == 0 { String::new() } else { format!("; {others} without a time that counts left out") };
    let reason = format!(
        "lowest median at {}: {ms:.2} ms ({}), of {} proven and timed on hardware or the CPU{left_out}",
        place.size,
        place.evidence,
        timed.len()
    );
    (Some((*place).clone()), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::comparison::tests::view;

    fn cell(browser: &str, backend: &str, evidence: EvidenceGrade, median_ms: Option<f64>) -> CellView {
        let id = format!("{browser}/bert@tiny/webmatrix/{backend}/fp32/default");
        CellView { browser_version: "1".into(), median_ms, run: "R1".into(), ..view(&id, evidence) }
    }

    fn told(cells: &[CellView]) -> String {
        let Some(found) = measured("R1", "2026", cells) else { return "never measured".to_owned() };
        let best = found
            .recommended
            .map_or("nowhere".to_owned(), |place| format!("{} {}", place.browser, place.backend));
        format!("{} pass, {} fail; {best}: {}", found.passes.len(), found.failures.len(), found.reason)
    }

    #[test]
    fn only_a_time_that_means_something_recommends() {
        use EvidenceGrade as E;
        let wasm = || cell("chromium", "wasm", E::Cpu, Some(8.0));
        let software = || cell("chromium", "webgpu", E::Software, Some(1.0));
        let hardware = |ms| cell("firefox", "webgpu", E::Hardware, Some(ms));
        let mut wrong = hardware(0.5);
        wrong.status = Some(Status::Wrong);
        let mut lacks = hardware(0.5);
        lacks.status = Some(Status::Unsupported);
        let mut base = wasm();
        base.size = "base".into();
        base.median_ms = Some(800.0);
        let lines = [
            told(&[wasm(), software()]),
            told(&[wasm(), software(), hardware(2.0)]),
            told(&[wasm(), hardware(9.0)]),
            told(&[software()]),
            told(&[cell("chromium", "webgpu", E::Fallback, Some(1.0)), software()]),
            told(&[cell(NATIVE, "native-cpu", E::Cpu, Some(1.0))]),
            told(&[wasm(), base]),
            told(&[wrong]),
            told(&[lacks]),
            told(&[cell("chromium", "wasm", E::None, Some(1.0))]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        2 pass, 0 fail; chromium wasm: lowest median at tiny: 8.00 ms (cpu), of 1 proven and timed on hardware or the CPU; 1 without a time that counts left out
        3 pass, 0 fail; firefox webgpu: lowest median at tiny: 2.00 ms (hardware), of 2 proven and timed on hardware or the CPU; 1 without a time that counts left out
        2 pass, 0 fail; chromium wasm: lowest median at tiny: 8.00 ms (cpu), of 2 proven and timed on hardware or the CPU
        1 pass, 0 fail; nowhere: it was timed on software GPUs or by fallback only, which says nothing about speed
        2 pass, 0 fail; nowhere: it was timed on software GPUs or by fallback only, which says nothing about speed
        1 pass, 0 fail; nowhere: it was measured on the host only
        2 pass, 0 fail; chromium wasm: lowest median at base: 800.00 ms (cpu), of 1 proven and timed on hardware or the CPU; 1 without a time that counts left out
        0 pass, 1 fail; nowhere: it passed nowhere
        never measured
        0 pass, 1 fail; nowhere: it passed nowhere
        ");
    }

    #[test]
    fn every_class_has_a_size_without_a_weight_being_made() {
        let lines: Vec<String> = ModelClass::all()
            .map(|class| entry(class, Size::Base, None).unwrap_or_else(|error| panic!("{error}")))
            .map(|entry| {
                let memory: Vec<String> = entry
                    .memory
                    .iter()
                    .map(|at| format!("{} {} ({:.2} bits)", at.precision, at.bytes, at.bits_per_weight))
                    .collect();
                format!("{} {}: {}", entry.class, entry.parameters, memory.join(", "))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        bert 109482240: fp32 437928960 (32.00 bits), fp16 218964480 (16.00 bits), int8 123274368 (9.01 bits), int4 68594304 (5.01 bits), int3 48089280 (3.51 bits), int2 34419264 (2.52 bits)
        t5 222903552: fp32 891614208 (32.00 bits), fp16 445807104 (16.00 bits), int8 250808832 (9.00 bits), int4 139381248 (5.00 bits), int3 97595904 (3.50 bits), int2 69739008 (2.50 bits)
        llama 1100048384: fp32 4400193536 (32.00 bits), fp16 2200096768 (16.00 bits), int8 1237635072 (9.00 bits), int4 687656960 (5.00 bits), int3 481415168 (3.50 bits), int2 343920640 (2.50 bits)
        qwen2 494032768: fp32 1976131072 (32.00 bits), fp16 988065536 (16.00 bits), int8 555849472 (9.00 bits), int4 308868864 (5.00 bits), int3 219727616 (3.56 bits), int2 157982464 (2.56 bits)
        qwen3 596049920: fp32 2384199680 (32.00 bits), fp16 1192099840 (16.00 bits), int8 670613504 (9.00 bits), int4 372621312 (5.00 bits), int3 260874240 (3.50 bits), int2 186376192 (2.50 bits)
        clip 151277313: fp32 605109252 (32.00 bits), fp16 302554626 (16.00 bits), int8 170365954 (9.01 bits), int4 94829570 (5.01 bits), int3 66503426 (3.52 bits), int2 47619330 (2.52 bits)
        vit 86567656: fp32 346270624 (32.00 bits), fp16 173135312 (16.00 bits), int8 97496336 (9.01 bits), int4 54274064 (5.02 bits), int3 38065712 (3.52 bits), int2 27260144 (2.52 bits)
        clap 153493017: fp32 613972068 (32.00 bits), fp16 306986034 (16.00 bits), int8 172877954 (9.01 bits), int4 96240226 (5.02 bits), int3 67677610 (3.53 bits), int2 48518178 (2.53 bits)
        whisper 37760640: fp32 151042560 (32.00 bits), fp16 75521280 (16.00 bits), int8 42528624 (9.01 bits), int4 23668656 (5.01 bits), int3 17275504 (3.66 bits), int2 12560512 (2.66 bits)
        wav2vec2 94395552: fp32 377582208 (32.00 bits), fp16 188791104 (16.00 bits), int8 106308816 (9.01 bits), int4 59176080 (5.02 bits), int3 41501312 (3.52 bits), int2 29718128 (2.52 bits)
        llava 574235520: fp32 2296942080 (32.00 bits), fp16 1148471040 (16.00 bits), int8 646177248 (9.00 bits), int4 359152224 (5.00 bits), int3 255001488 (3.55 bits), int2 183245232 (2.55 bits)
        llava_next 574236416: fp32 2296945664 (32.00 bits), fp16 1148472832 (16.00 bits), int8 646179040 (9.00 bits), int4 359154016 (5.00 bits), int3 255003280 (3.55 bits), int2 183247024 (2.55 bits)
        xclip 196585729: fp32 786342916 (32.00 bits), fp16 393171458 (16.00 bits), int8 221411842 (9.01 bits), int4 123263490 (5.02 bits), int3 86457858 (3.52 bits), int2 61920770 (2.52 bits)
        detr 41631008: fp32 166524032 (32.00 bits), fp16 83262016 (16.00 bits), int8 46984000 (9.03 bits), int4 26252608 (5.04 bits), int3 18514304 (3.56 bits), int2 13331456 (2.56 bits)
        ");
    }
}
