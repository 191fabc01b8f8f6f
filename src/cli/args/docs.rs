//! What the commands are told that write the program's own documents.

use std::path::PathBuf;

use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell
    pub(in crate::cli) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ManArgs {
    /// The command, word by word [default: the program]
    #[arg(value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<String>,
    /// A folder to write every page to
    #[arg(long, env = "WEBMATRIX_MAN_OUT", value_name = "DIR", conflicts_with = "command")]
    pub(in crate::cli) out: Option<PathBuf>,
}
