//! Names that stand in ids.

/// Whether `text` can be a browser's label or a profile's name: it must survive in an id, in a file
/// name and on a command line.
pub fn is_label(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c))
}
