//! `webmatrix memory`: what the memory of a run's cells was for, over time.

use bytesize::ByteSize;
use webmatrix_wire::MemoryKind;

use crate::analyse::memory::{CellMemory, memory};
use crate::cli::args::MemoryArgs;
use crate::cli::{out, table};
use crate::error::{Exit, ExitStatus, Failure};
use crate::store::{Database, StoreError};

/// Moments in a drawn line.
const WIDTH: usize = 48;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(in crate::cli) fn run(args: &MemoryArgs) -> Result<ExitStatus, Failure> {
    let database = Database::open_read_only(&args.db).exit(ExitStatus::BadData)?;
    let wanted = |cell: &CellMemory| {
        args.filter.is_empty() || args.filter.iter().any(|text| cell.cell.contains(text.as_str()))
    };
    let told = || -> Result<Vec<CellMemory>, StoreError> {
        let mut cells = Vec::new();
        for run in database.runs(&args.run)? {
            let run = run.run;
            cells.extend(memory(&database.cells(&run)?, &database.memory(&run)?, &database.caches(&run)?));
        }
        Ok(cells)
    };
    let mut cells = told().exit(ExitStatus::BadData)?;
    cells.retain(wanted);
    if cells.is_empty() {
        let text = "no cell told of its memory: cells do since version 0.2, and --run or --filter may leave some out";
        return Err(Failure::text(ExitStatus::TooLittleEvidence, text.to_owned()));
    }
    if args.print.is_json() {
        out::line(&serde_json::to_string(&cells).exit(ExitStatus::BadData)?);
    } else if !args.print.quiet {
        out::text(&text(&cells, args));
    }
    Ok(ExitStatus::AsExpected)
}

fn text(cells: &[CellMemory], args: &MemoryArgs) -> String {
    let header =
        ["cell", "weights", "activations", "caches", "io", "backend", "files", "heap at most", "grows"];
    let lines: Vec<Vec<String>> = cells.iter().map(line).collect();
    let mut text = table::table(&header, &lines);
    text.push_str(
        "\nBytes that the backend holds, by part; \"-\": the browser does not tell, and a total with \"+\" is without it. \
         Files: what is kept of\nthe checkpoint besides. Heap: of the module, which on wasm holds all of it; grows: by an \
         inference.\n",
    );
    let with_cache = |cell: &&CellMemory| cell.cache.is_some();
    for cell in cells.iter().filter(with_cache) {
        let Some(cache) = cell.cache else { continue };
        let each = size(cache.bytes_per_token.round() as u64);
        text.push_str(&format!("\n{}: a token takes {each} of cache", cell.cell));
        if let Some(ring) = cache.ring {
            let (bytes, positions) = (size(ring.bytes), ring.positions);
            text.push_str(&format!(" and, in layers behind a window, {bytes} from {positions} tokens on"));
        }
        if cache.encoded > 0 {
            text.push_str(&format!(" beside {} of the encoder's", size(cache.encoded)));
        }
        if let Some(budget) = args.cache_budget {
            let tokens =
                cache.longest(budget.0).map_or_else(|| "any number of".to_owned(), |n| n.to_string());
            text.push_str(&format!(", {} hold {tokens} tokens", size(budget.0)));
        }
    }
    if cells.iter().any(|cell| cell.cache.is_some()) {
        text.push('\n');
    }
    if args.timeline {
        for cell in cells {
            text.push_str(&format!("\n{}\n{}", cell.cell, timeline(cell)));
        }
    }
    text
}

fn line(cell: &CellMemory) -> Vec<String> {
    let told = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let part = |kind: MemoryKind| told(cell.parts.get(&kind).copied());
    let more = if cell.partial { "+" } else { "" };
    vec![
        cell.cell.clone(),
        part(MemoryKind::Weights),
        part(MemoryKind::Activations),
        part(MemoryKind::States),
        part(MemoryKind::Io),
        format!("{}{more}", size(cell.total)),
        told(cell.files),
        told(cell.heap_peak),
        cell.growth.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:+.0} B")),
    ]
}

/// A line for each kind, its height by the most that there is of it.
fn timeline(cell: &CellMemory) -> String {
    let mut lines = Vec::new();
    for kind in MemoryKind::ALL {
        let values: Vec<u64> =
            cell.timeline.iter().filter_map(|moment| moment.bytes.get(&kind).copied()).collect();
        let most = values.iter().copied().max().unwrap_or(0);
        if most > 0 {
            lines.push(vec![format!("  {}", kind.as_str()), drawn(&values, most), size(most)]);
        }
    }
    table::table(&["", "", "at most"], &lines)
}

fn drawn(values: &[u64], most: u64) -> String {
    let columns = values.len().min(WIDTH);
    let level =
        |value: u64| LEVELS[(value as f64 / most as f64 * (LEVELS.len() - 1) as f64).round() as usize];
    // Several moments in one column: the most of them.
    let column = |at: usize| {
        let (from, to) = (at * values.len() / columns, ((at + 1) * values.len()).div_ceil(columns));
        values[from..to.min(values.len())].iter().copied().max().unwrap_or(0)
    };
    (0..columns).map(|at| level(column(at))).collect()
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_most_of_each_column() {
        assert_eq!(drawn(&[0, 7, 14], 14), "▁▅█");
        let long: Vec<u64> = (0..480).collect();
        let drawn = drawn(&long, 479);
        assert_eq!((drawn.chars().count(), drawn.chars().next_back()), (WIDTH, Some('█')));
    }
}
