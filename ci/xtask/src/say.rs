//! All that xtask prints. Narration goes to stderr, results to stdout, so that `$(cargo xtask build | tail -n 1)` works.

/// Tells the person at the terminal what is happening.
#[expect(clippy::print_stderr, reason = "a command-line tool narrates on stderr")]
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("xtask: {}", text.as_ref());
}

/// Prints a result: the line another program would read.
#[expect(clippy::print_stdout, reason = "the result of a command belongs on stdout")]
pub(crate) fn result(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}
