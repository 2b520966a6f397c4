//! `hourglass completions` and `hourglass man`: the command line for shells and for `man`.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::console;
use crate::error::{Error, Result};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  source <(hourglass completions bash)                                 for this shell
  hourglass completions zsh > ~/.zfunc/_hourglass                      with ~/.zfunc in fpath
  hourglass completions fish > ~/.config/fish/completions/hourglass.fish")]
pub struct CompletionsArgs {
    /// Shell to complete commands in
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hourglass man /usr/local/share/man/man1
  hourglass man . && man ./hourglass-serve.1")]
pub struct ManArgs {
    /// Folder for the pages: hourglass.1, and hourglass-COMMAND.1 for each command
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs, mut commands: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut commands, "hourglass", &mut script);
    console::print(&String::from_utf8_lossy(&script))
}

/// Writes the pages.
pub fn man(args: &ManArgs, commands: Command) -> Result<()> {
    std::fs::create_dir_all(&args.dir).map_err(Error::io(&args.dir, "create"))?;
    clap_mangen::generate_to(commands, &args.dir)
        .map_err(Error::io(&args.dir, "write the pages to"))
}
