//! `ignite completions`

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::exit::{CliError, Exit};
use crate::ui::Ui;

pub(crate) fn run(args: &CompletionsArgs, ui: &mut Ui) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "ignite", &mut script);
    ui.bytes(&script)?;
    Ok(Exit::Done)
}
