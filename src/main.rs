//! The `webmatrix` command.

fn main() -> std::process::ExitCode {
    webmatrix::cli::main()
}
