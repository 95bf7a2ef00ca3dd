//! The `ignite` command: it puts the rooms of the product together for one machine.
//!
//! Three steps, three places: [`args`] is what may be typed, [`settings`] what is meant once environment and defaults
//! are taken in, and `commands/<verb>` does it, speaking through [`ui`]. Results go to stdout, everything else to stderr.
//!
//! Begin with [`run`].

pub mod args;
mod client;
mod commands;
mod config;
mod connection;
mod dev;
mod exit;
mod platform;
mod project;
mod serve;
pub mod settings;
mod show;
mod stops;
pub mod ui;

pub use exit::{CliError, Exit};

use std::ffi::OsString;

use clap::Parser as _;

/// Runs one command line and tells how the process should end. `env` reads environment variables, `ui` speaks.
pub fn run(arguments: Vec<OsString>, env: settings::Env, ui: &mut ui::Ui) -> Exit {
    let arguments = settings::without_dodil_prefix(arguments);
    let args = match args::Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(refused) => return ui.usage(&refused),
    };
    ui.configure(args.output, args.quiet);
    let settings = match settings::Settings::resolve(&args, env) {
        Ok(settings) => settings,
        Err(error) => return ui.fail(&error),
    };
    match commands::dispatch(args.command, &settings, ui) {
        Ok(exit) => exit,
        Err(error) => ui.fail(&error),
    }
}
