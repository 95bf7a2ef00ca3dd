//! What in a source would steer the tools that compile it.
//!
//! A tool reads files beside the code: which compiler, linker or registry to use, where dependencies lie. Whoever compiles
//! for strangers decides that. So before anything is fetched each such file is looked at here, and what is in it either
//! counts, or is set aside with a note in the log, or is refused with the line it is in. Nothing here is a wall: the tools
//! run locked up whatever a source says. It is what makes an attempt, or an honest setting that cannot work, a clear error.

mod cargo_config;
mod deno;
mod file;
mod go;
mod python;
mod requirement;
mod rust;
mod url;

use ignite_core_model::Runtime;

use crate::mistake::Mistakes;
use crate::tree::SourceTree;

/// What is set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SetAside {
    /// Files that the tools are not to see.
    pub(crate) files: Vec<String>,
    /// One sentence for the log about each thing that does not count.
    pub(crate) notes: Vec<String>,
}

impl SetAside {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// Looks at everything that steers the tools of `runtime`. `entry` is where the app begins in the tree.
///
/// # Errors
/// Every mistake.
pub(crate) fn guard(tree: &SourceTree, runtime: Runtime, entry: &str) -> Result<SetAside, Mistakes> {
    let mut mistakes = Vec::new();
    let mut aside = SetAside::default();
    match runtime {
        Runtime::Python => python::check(tree, &mut mistakes, &mut aside),
        Runtime::Go => go::check(tree, &mut mistakes, &mut aside),
        Runtime::Deno => deno::check(tree, &mut mistakes, &mut aside),
        Runtime::Rust => {
            rust::check(tree, entry, &mut mistakes);
            cargo_config::check(tree, &mut mistakes, &mut aside);
        }
        Runtime::Component => {}
    }
    // As they stand in the files, whichever rule found them first.
    mistakes.sort_by_key(|mistake| mistake.at.as_ref().map(|at| (at.path.clone(), at.line)));
    if mistakes.is_empty() { Ok(aside) } else { Err(Mistakes(mistakes)) }
}

#[cfg(test)]
mod tests;
