#![allow(clippy::unwrap_used, reason = "a test")]
mod cargo;
mod others;

use super::*;
use crate::tree::tests::tree;
use expect_test::Expect;

fn check(runtime: Runtime, files: &[(&str, &str)], expected: &Expect) {
    let text: String = match guard(&tree(files), runtime, ".") {
        Ok(aside) => aside.notes.iter().map(|note| format!("note: {note}\n")).collect(),
        Err(Mistakes(mistakes)) => mistakes
            .iter()
            .map(|mistake| format!("{mistake}\nhint: {}\n", mistake.next.as_deref().unwrap_or("-")))
            .collect(),
    };
    expected.assert_eq(&text);
}
