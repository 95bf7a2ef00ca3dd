//! Automation of the repository: `cargo xtask <command>`. CI calls these commands and knows nothing more.
//!
//! It knows the product only from outside: by its commands, its files and `cargo metadata`. Begin with [`COMMANDS`].
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and CI: its output is its work")]

mod bench;
mod demo;
mod examples;
mod generate;
mod http;
mod images;
mod log;
mod process;
mod table;
mod test;
mod tidy;
mod toolchains;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// One command: its name, what it does, and its body, which tells whether all went well.
type Command = (&'static str, &'static str, fn(&Workspace, &[String]) -> Result<bool>);

const COMMANDS: &[Command] = &[
    ("demo", "Install what is missing, compile and serve every example, print a table", demo::command),
    ("test", "Run everything that must hold; with names, only the suites that begin so", test::command),
    ("tidy", "Check the map of the crates, versions, licences, sizes and words", tidy::command),
    ("toolchains", "Install the pinned toolchains that are missing; `--check` only looks", toolchains::command),
    ("images", "Unpack the root file systems of compiles; `--check` only looks", images::command),
    ("generate", "Write every generated file anew", generate::command),
    ("bench", "Measure, and write docs/reference/numbers.md", bench::command),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<bool> {
    let Some((name, rest)) = arguments.split_first() else { bail!("name a command\n\n{}", help()) };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", help());
        return Ok(true);
    }
    let Some((_, _, command)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
        bail!("there is no command `{name}`\n\n{}", help());
    };
    command(&Workspace::find()?, rest)
}

fn help() -> String {
    let lines = COMMANDS.iter().map(|(name, what, _)| format!("  {name:<12}{what}\n"));
    format!("usage: cargo xtask <command>\n\n{}", lines.collect::<String>())
}
