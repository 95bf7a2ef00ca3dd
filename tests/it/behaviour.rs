//! The same cases on all five targets, and the table that is drawn from them.

use std::fmt::Write as _;
use std::path::Path;

use ignite_tests::cases::{Case, load};
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};

/// The targets, as the cases and the table name them: app folder and flags of `ignite compile`.
pub(crate) const TARGETS: [(&str, &str, &[&str]); 5] = [
    ("python", "python", &[]),
    ("go", "go", &[]),
    ("deno", "deno", &[]),
    ("rust", "rust", &["--target", "native"]),
    ("wasm", "rust", &["--target", "wasm"]),
];

pub(crate) fn cases() -> Vec<Case> {
    load(&repository().join("tests/cases/behaviour")).unwrap()
}

/// Compiles the app of `target`, serves it and runs every case it supports; all failures are told at once.
fn check(target: &str) {
    let (_, app, flags) = TARGETS.into_iter().find(|(name, ..)| *name == target).unwrap();
    let out = tempfile::tempdir().unwrap();
    let artifact = compile(&repository().join("tests/cases/apps").join(app), out.path(), flags).unwrap();
    let failures: Vec<String> = cases()
        .iter()
        .filter(|case| !case.unsupported.contains_key(target))
        .filter_map(|case| run(case, &artifact).err().map(|error| format!("{error:#}")))
        .collect();
    assert!(failures.is_empty(), "{} cases fail on {target}:\n- {}", failures.len(), failures.join("\n- "));
}

fn run(case: &Case, artifact: &Path) -> anyhow::Result<()> {
    let host = Host::serve(
        artifact,
        &[
            ("IGNITE_TIMEOUT_MS", "2000"),
            ("IGNITE_FUNCTION_ID", "acme/cases"),
            ("IGNITE_ORGANIZATION_ID", "acme"),
            ("IGNITE_ENV_CASE_GREETING", "bonjour"),
        ],
    )?;
    case.check(&host)
}

#[test]
fn python() {
    check("python");
}

#[test]
fn go() {
    check("go");
}

#[test]
fn deno() {
    check("deno");
}

#[test]
fn rust_native() {
    check("rust");
}

#[test]
fn rust_wasm() {
    check("wasm");
}

#[test]
fn the_table_in_the_reference_is_drawn_from_the_cases() {
    let path = repository().join("docs/reference/behaviour.md");
    let table = table(&cases());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(stands, table, "docs/reference/behaviour.md is old; `cargo xtask generate` draws it anew");
}

fn table(cases: &[Case]) -> String {
    let mut text = String::from(
        "# Behaviour by language\n\nDrawn from `tests/cases/behaviour`; each `yes` is a case that runs on that target in the tests.\n\n\
         | behaviour | Python | Go | Deno | Rust, native | Rust, Wasm |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for case in cases {
        let cells: Vec<&str> =
            TARGETS.iter().map(|(target, ..)| case.unsupported.get(*target).map_or("yes", String::as_str)).collect();
        let _ = writeln!(text, "| {} | {} |", case.description, cells.join(" | "));
    }
    text
}

#[test]
fn a_case_names_only_targets_there_are() {
    for case in cases() {
        for target in case.unsupported.keys() {
            assert!(TARGETS.iter().any(|(name, ..)| name == target), "{}: there is no target {target}", case.name);
        }
        assert!(!case.steps.is_empty(), "{} has no steps", case.name);
    }
}
