//! The bench itself: a quick run on the echo, one target of ours and one contender that is never there.

use std::process::{Command, Stdio};

use ignite_tests::product::binary;

/// The figures of a row of a table, by its first cell.
fn row<'a>(page: &'a str, heading: &str, name: &str) -> Vec<&'a str> {
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading} in\n{page}"));
    let begin = format!("| {name} |");
    let line = rest.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no {name} in\n{rest}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_bench_measures_checks_and_leaves_out_nobody() {
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("numbers.md");
    std::fs::write(&page, "# Numbers\n\nBy hand.\n").unwrap();
    let ran = Command::new(binary("ignite-bench").unwrap())
        .args(["host", "--quick", "--only", "echo,Python,absent", "--out"])
        .arg(out.path())
        .env("IGNITE_BENCH_CACHE", out.path().join("cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("# Numbers\n\nBy hand.\n"), "{page}");
    for name in ["echo", "Python"] {
        let steered = row(&page, "### Hello at 64 connections", name);
        let per_second: f64 = steered[1].replace(',', "").parse().unwrap();
        assert!(per_second > 50.0, "{steered:?}");
        for heading in ["### Hello, by", "### 64 KiB echo, by", "### Wait 10 ms, by"] {
            let cells = row(&page, heading, name);
            assert!(cells.iter().skip(1).all(|cell| cell.contains('/')), "{cells:?}");
        }
        assert!(row(&page, "### Start", name)[1].ends_with("ms"));
        assert_eq!(row(&page, "### Contenders", name)[3], "", "no wrong answer: {page}\n{said}");
    }
    let idle = row(&page, "### Hosts and workers", "Python");
    assert!(idle.iter().skip(1).all(|figure| *figure != "–"), "{idle:?}\n{said}");
    let megabytes = |cell: &str| cell.trim_end_matches(" MB").parse::<f64>().unwrap();
    assert!(megabytes(idle[2]) < megabytes(idle[1]), "a host at rest lets memory go: {idle:?}");
    assert!(row(&page, "by phases", "Python, warm")[1].ends_with("ms"));
    assert_eq!(row(&page, "### Contenders", "absent")[3], "missing: it is never there");
    for chart in ["numbers-throughput.svg", "numbers-cpu.svg", "numbers-start.svg"] {
        let svg = std::fs::read_to_string(out.path().join(chart)).unwrap();
        assert!(svg.contains("Ignite Python") && svg.ends_with("</svg>\n"), "{svg}");
    }
}

#[test]
fn a_contender_that_nobody_knows_is_an_error() {
    let ran = Command::new(binary("ignite-bench").unwrap()).args(["host", "--only", "nobody"]).output().unwrap();
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("there is no contender `nobody`") && said.contains("uvicorn"), "{said}");
}
