//! `cargo xtask bench`: measures the host beside its peers, and the compiler, and writes docs/reference/numbers.md.
//!
//! Absolute figures of a small shared machine drift; the ratios of one run hold. Begin with [`host`].

mod against;
mod cold;
mod compile;
mod contenders;
mod deadlines;
mod generator;
mod host;
mod idle;
mod kit;
mod options;
mod platform;
mod report;
mod rounds;
mod server;
mod stolen;
mod targets;
mod tree;
mod warm;
mod workers;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, rest)) if verb == "host" => host::command(rest),
        Some((verb, rest)) if verb == "deadlines" => deadlines::command(rest),
        Some((verb, rest)) if verb == "compile" => compile::command(rest),
        Some((verb, rest)) if verb == "platform" => platform::command(rest),
        _ => bail!("usage: ignite-bench host|deadlines|compile|platform …"),
    }
}

/// Shows a line while the bench runs.
#[expect(clippy::print_stderr, reason = "a bench speaks to the person who waits for it")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Shows the finished part of the page.
#[expect(clippy::print_stdout, reason = "a bench's result")]
fn print(text: &str) {
    println!("{text}");
}
