//! From a source tree and an author's wishes to what has to be done: which language, which files, which generated
//! files, which cache keys. One module per language.
//!
//! Everything here is pure: a tree arrives as a list of files with digests and the text of those that matter, and no
//! tool is run. What a tool alone can know (a type error, a missing package) is found by the builder.
//! Begin with [`SourceTree`] and [`plan`].

pub mod component;
pub mod deno;
mod detect;
pub mod go;
mod guard;
mod jsonc;
mod key;
mod mistake;
mod plan;
pub mod python;
pub mod rust;
mod select;
mod tree;

pub use detect::detect;
pub use key::KeyBuilder;
pub use mistake::{At, Mistake, Mistakes};
pub use plan::{Plan, Wishes, plan};
pub use select::{MANIFEST_FILE, Patterns, is_never_packed, is_own_file};
pub use tree::{SourceFile, SourceTree, TEXT_BYTES_MAX, wants_text};
