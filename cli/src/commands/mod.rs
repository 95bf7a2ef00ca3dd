//! One file per verb.

mod admin;
mod app;
mod compile;
mod completions;
mod config;
mod deploy;
mod dev;
mod doctor;
mod draft;
mod execution;
mod invoke;
mod logs;
mod new;
mod payload;
mod rollout;
mod run;
mod secret;
mod serve;
mod source;
mod token;
mod verify;
mod version;
mod wanted;

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
        Command::Serve(args) => serve::run(&args, settings, ui),
        Command::Admin(command) => admin::run(&command, settings, ui),
        Command::Doctor(args) => doctor::run(&args, settings, ui),
        Command::Invoke(args) => invoke::run(&args, settings, ui),
        Command::Deploy(args) => deploy::run(&args, settings, ui),
        Command::App(command) => app::run(command, settings, ui),
        Command::Draft(command) => draft::run(command, settings, ui),
        Command::Version(command) => version::run(command, settings, ui),
        Command::Build(_) => Err(source::no_builds()),
        Command::Execution(command) => execution::run(command, settings, ui),
        Command::Secret(command) => secret::run(command, settings, ui),
        Command::Token(command) => token::run(command, settings, ui),
        Command::Login(args) => config::login(&args, settings, ui),
        Command::Config(command) => config::run(command, settings, ui),
        Command::Completions(args) => completions::run(&args, ui),
    }
}
