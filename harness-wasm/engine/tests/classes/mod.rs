//! The classes that have twins.

/// Their names.
pub(crate) fn classes() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/models/twins");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix("-tiny.json").map(str::to_owned)).collect()
}
