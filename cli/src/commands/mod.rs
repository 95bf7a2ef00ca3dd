//! One file per verb.

mod compile;
mod completions;
mod dev;
mod doctor;
mod invoke;
mod new;
mod run;
mod verify;

use crate::args::Command;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::ui::Ui;

pub(crate) fn dispatch(command: Command, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    match command {
        Command::New(args) => new::run(&args, ui),
        Command::Compile(args) => compile::run(&args, settings, ui),
        Command::Run(args) => run::run(&args, settings, ui),
        Command::Dev(args) => dev::run(&args, settings, ui),
        Command::Verify(args) => verify::run(&args, settings, ui),
        Command::Doctor(args) => doctor::run(&args, settings, ui),
        Command::Invoke(args) => invoke::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
    }
}
