//! `webmatrix completions` and `webmatrix man`: what shells and `man` show, from the definition of the arguments.

use clap::Command;
use clap_mangen::Man;

use crate::cli::args::{CompletionsArgs, ManArgs};
use crate::cli::{arguments, out};
use crate::error::{Exit, ExitStatus, Failure};

pub(in crate::cli) fn completions(args: &CompletionsArgs) -> ExitStatus {
    let (mut command, mut text) = (arguments(), Vec::new());
    clap_complete::generate(args.shell, &mut command, "webmatrix", &mut text);
    out::text(&String::from_utf8_lossy(&text));
    ExitStatus::AsExpected
}

pub(in crate::cli) fn man(args: &ManArgs) -> Result<ExitStatus, Failure> {
    let mut command = arguments();
    command.build();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder)).map_err(
            |error| Failure::text(ExitStatus::BadData, format!("man {}: {error}", folder.display())),
        )?;
        out::line(&folder.display().to_string());
        return Ok(ExitStatus::AsExpected);
    }
    let mut page = Vec::new();
    Man::new(named(&command, &args.command)?).render(&mut page).exit(ExitStatus::BadData)?;
    out::text(&String::from_utf8_lossy(&page));
    Ok(ExitStatus::AsExpected)
}

/// The command that words name.
fn named(program: &Command, words: &[String]) -> Result<Command, Failure> {
    let mut command = program;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let text =
                format!("{word:?} is no command of {}: use one of {}", command.get_name(), known.join(", "));
            Failure::text(ExitStatus::Usage, text)
        })?;
    }
    // As it is typed, rather than as its last word.
    let title = command.get_bin_name().unwrap_or("webmatrix").replace(' ', "-");
    Ok(command.clone().name(title))
}
