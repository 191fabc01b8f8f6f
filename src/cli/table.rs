//! Columns for people.

/// Lines of cells, padded so that columns stand in line.
pub(super) fn table(header: &[&str], lines: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    let all = || std::iter::once(&header).chain(lines);
    let width = |column: usize| {
        all()
            .map(|line| line.get(column).map_or(0, |cell| console::measure_text_width(cell)))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in all() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None).into_owned())
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_in_line() {
        let lines = [vec!["chromium".to_owned(), "1".to_owned()], vec!["ff".to_owned(), "22".to_owned()]];
        insta::assert_snapshot!(super::table(&["label", "version"], &lines), @r"
        label     version
        chromium  1
        ff        22
        ");
    }
}
