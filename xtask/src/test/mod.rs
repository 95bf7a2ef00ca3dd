//! `cargo xtask test`: everything that must hold, on a clean checkout, as a list of suites.
//!
//! A suite that cannot be run has failed. The last line is `N passed, N failed`.

mod artifacts;
mod counts;
mod deno;
mod examples;
mod fuzz;
mod go;
mod python;
mod rust;
mod suite;
mod tree;

use std::time::Instant;

use anyhow::Result;

use crate::log::{human, say};
use crate::table;
use crate::toolchains::{self, Tools};
use crate::workspace::Workspace;

use artifacts::Artifacts;
use suite::{Run, Suite};

pub(crate) use counts::Counts;

/// What the suites are handed: the workspace, the tools, and what was built.
struct Context<'a> {
    workspace: &'a Workspace,
    tools: Tools,
}

/// `test [SUITE…]`: all suites, or those whose name begins with one of the words.
pub(crate) fn command(workspace: &Workspace, words: &[String]) -> Result<bool> {
    let started = Instant::now();
    let mut run = Run::new(words);
    let before = tree::state(workspace);
    let tools = run.step("toolchains", || {
        workspace.claim_target()?;
        toolchains::install(workspace)
    });
    if let Some(tools) = tools {
        let context = Context { workspace, tools };
        // Quick ones first: a wrong comma should not cost a quarter of an hour.
        rust::format(&context, &mut run);
        run.suite("tidy", |_| crate::tidy::check(workspace));
        python::suites(&context, &mut run);
        go::suites(&context, &mut run);
        deno::suites(&context, &mut run);
        examples::suites(&context, &mut run);
        rust::suites(&context, &mut run);
        run.suite("checkout unchanged", |log| tree::unchanged(workspace, before.as_deref(), log));
    }
    Ok(report(&run.finish(), started))
}

fn report(suites: &[Suite], started: Instant) -> bool {
    let mut total = Counts::default();
    let mut rows = Vec::new();
    for suite in suites {
        total += suite.counts;
        let Counts { passed, failed, skipped } = suite.counts;
        let mut row = vec![suite.name.clone(), passed.to_string(), failed.to_string(), skipped.to_string()];
        row.push(human(suite.elapsed));
        row.push(suite.note.clone().unwrap_or_default());
        rows.push(row);
    }
    println!();
    for suite in suites.iter().filter(|suite| !suite.failures.is_empty()) {
        println!("{}:", suite.name);
        suite.failures.iter().for_each(|failure| println!("    {failure}"));
    }
    println!("\n{}", table::render(&["suite", "passed", "failed", "skipped", "time", ""], &rows, &[1, 2, 3, 4]));
    say(&format!("all suites took {}", human(started.elapsed())));
    println!("{} passed, {} failed", total.passed, total.failed);
    total.failed == 0 && total.passed > 0
}
