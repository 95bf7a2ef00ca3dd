//! How many tests passed, read from what each language's runner says.

use std::ops::AddAssign;

use serde_json::Value;

/// Results of one suite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that held.
    pub(crate) passed: u64,
    /// Tests that did not.
    pub(crate) failed: u64,
    /// Tests that were not run.
    pub(crate) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Counts {
    /// One check that is not a test of its own: a formatter, a linter.
    pub(super) fn check(holds: bool) -> Self {
        Self { passed: holds.into(), failed: (!holds).into(), skipped: 0 }
    }
}

/// Rust: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
pub(super) fn rust(line: &str) -> Option<Counts> {
    let counts = line.strip_prefix("test result: ")?;
    Some(Counts {
        passed: before(counts, " passed")?,
        failed: before(counts, " failed")?,
        skipped: before(counts, " ignored")?,
    })
}

/// Python's unittest: `Ran 12 tests in 0.1s`, then `OK (skipped=1)` or `FAILED (failures=1, errors=2)`.
#[derive(Default)]
pub(super) struct Unittest {
    ran: Option<u64>,
    counts: Option<Counts>,
}

impl Unittest {
    pub(super) fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Ran ") {
            self.ran = rest.split(' ').next().and_then(|number| number.parse().ok());
        }
        let ended = line == "OK" || ["OK (", "FAILED (", "NO TESTS RAN"].iter().any(|start| line.starts_with(start));
        if let (Some(ran), true) = (self.ran, ended) {
            let failed = after(line, "failures=") + after(line, "errors=") + after(line, "unexpected successes=");
            let skipped = after(line, "skipped=");
            self.counts = Some(Counts { passed: ran.saturating_sub(failed + skipped), failed, skipped });
        }
    }

    pub(super) fn counts(&self) -> Option<Counts> {
        self.counts
    }
}

/// Go: one event of `go test -json`; `None` for what is not the end of a test.
pub(super) fn go(event: &Value) -> Option<Counts> {
    let action = event.get("Action")?.as_str()?;
    // Without a test's name it is the package: counted only when it failed without any test, as when it does not build.
    event.get("Test")?;
    let mut counts = Counts::default();
    match action {
        "pass" => counts.passed = 1,
        "fail" => counts.failed = 1,
        "skip" => counts.skipped = 1,
        _ => return None,
    }
    Some(counts)
}

/// Deno: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (5ms)`.
pub(super) fn deno(line: &str) -> Option<Counts> {
    let counts = line.strip_prefix("ok | ").or_else(|| line.strip_prefix("FAILED | "))?;
    let mut found = Counts { passed: before(counts, " passed")?, failed: before(counts, " failed")?, skipped: 0 };
    found.skipped = before(counts, " ignored").unwrap_or(0);
    Some(found)
}

/// The number that ends right before `word`.
fn before(text: &str, word: &str) -> Option<u64> {
    let head = &text[..text.find(word)?];
    let digits = head.len() - head.chars().rev().take_while(char::is_ascii_digit).count();
    head[digits..].parse().ok()
}

/// The number that begins right after `word`; 0 where there is none.
fn after(text: &str, word: &str) -> u64 {
    let tail = text.find(word).map_or("", |at| &text[at + word.len()..]);
    let digits = tail.find(|character: char| !character.is_ascii_digit()).unwrap_or(tail.len());
    tail[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn libtest() {
        let line = "test result: FAILED. 31 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(rust(line), counts(31, 2, 1));
        assert_eq!(rust("test something ... ok"), None);
    }

    #[test]
    fn unittest() {
        for (end, expected) in [
            ("OK", counts(12, 0, 0)),
            ("OK (skipped=2)", counts(10, 0, 2)),
            ("FAILED (failures=1, errors=2, skipped=3)", counts(6, 3, 3)),
            ("OK maybe", None),
        ] {
            let mut unittest = Unittest::default();
            ["noise", "Ran 12 tests in 0.123s", "", end].iter().for_each(|line| unittest.line(line));
            assert_eq!(unittest.counts(), expected, "{end}");
        }
    }

    #[test]
    fn go_events() {
        let event = |text: &str| go(&serde_json::from_str(text).unwrap());
        assert_eq!(event(r#"{"Action":"pass","Package":"ignite","Test":"TestA"}"#), counts(1, 0, 0));
        assert_eq!(event(r#"{"Action":"fail","Package":"ignite","Test":"TestA/b"}"#), counts(0, 1, 0));
        assert_eq!(event(r#"{"Action":"pass","Package":"ignite"}"#), None);
        assert_eq!(event(r#"{"Action":"output","Package":"ignite","Test":"TestA","Output":"x"}"#), None);
    }

    #[test]
    fn deno_summaries() {
        assert_eq!(deno("ok | 12 passed (3 steps) | 0 failed | 1 ignored (5ms)"), counts(12, 0, 1));
        assert_eq!(deno("FAILED | 1 passed | 2 failed (5ms)"), counts(1, 2, 0));
        assert_eq!(deno("ok"), None);
    }
}
