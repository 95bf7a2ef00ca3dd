//! `ignite-bench compile`: how long the compiler takes for the hello example of each language, and beside its own tool.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ignite_tests::product::{binary, repository};

use crate::report::page;

/// One target's project and flags.
struct Target {
    name: &'static str,
    project: &'static str,
    flags: &'static [&'static str],
    /// The file a line is added to for the warm compile, and the line.
    touch: (&'static str, &'static str),
}

const TARGETS: [Target; 5] = [
    Target { name: "Python", project: "hello-python", flags: &[], touch: ("handler.py", "# one more line\n") },
    Target { name: "Go", project: "hello-go", flags: &[], touch: ("main.go", "// one more line\n") },
    Target { name: "Deno", project: "hello-deno", flags: &[], touch: ("main.ts", "// one more line\n") },
    Target {
        name: "Rust",
        project: "hello-rust",
        flags: &["--target", "native"],
        touch: ("src/lib.rs", "// one more line\n"),
    },
    Target {
        name: "Wasm",
        project: "hello-rust",
        flags: &["--target", "wasm"],
        touch: ("src/lib.rs", "// one more line\n"),
    },
];

/// What was measured of a target.
struct Row {
    name: &'static str,
    artifact_bytes: u64,
    cold: Duration,
    warm: Duration,
    unchanged: Duration,
}

/// Measures all targets and writes their part of the page.
///
/// # Errors
/// When one does not compile.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let work = tempfile::tempdir()?;
    match arguments {
        [] => {}
        // A part is only shown.
        [part] if part == "against" => {
            crate::print(&crate::against::measure(work.path())?);
            return Ok(());
        }
        _ => bail!("usage: bench compile [against]"),
    }
    let mut rows = Vec::new();
    for target in &TARGETS {
        crate::say(&format!("compile: {}", target.name));
        rows.push(compile(target, work.path()).with_context(|| target.name)?);
    }
    let text = format!("{}\n{}", markdown(&rows), crate::against::measure(work.path())?);
    page::replace(&repository().join("docs/reference/numbers.md"), "compile", &text)?;
    crate::print(&text);
    Ok(())
}

/// Compiles a copy of the project three times: with empty caches, after one more line, and with nothing changed.
fn compile(target: &Target, work: &Path) -> Result<Row> {
    let project = work.join(target.name);
    copy(&repository().join("examples").join(target.project), &project)?;
    let artifact = work.join(format!("{}.tar.zst", target.name));
    let cache = work.join(format!("{}.cache", target.name));
    let compile = || -> Result<Duration> {
        let started = Instant::now();
        let output = Command::new(binary("ignite")?)
            .arg("compile")
            .arg(&project)
            .arg("--out")
            .arg(&artifact)
            .args(target.flags)
            .env("IGNITE_CACHE_DIR", &cache)
            .stdin(Stdio::null())
            .output()?;
        let elapsed = started.elapsed();
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(elapsed)
    };
    let cold = compile()?;
    let file = project.join(target.touch.0);
    std::fs::write(&file, std::fs::read_to_string(&file)? + target.touch.1)?;
    let warm = compile()?;
    let unchanged = compile()?;
    Ok(Row { name: target.name, artifact_bytes: artifact.metadata()?.len(), cold, warm, unchanged })
}

/// Copies a project as an author has it, without what was built in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["target", "node_modules", ".ignite", "__pycache__"].iter().any(|built| name == *built) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn markdown(rows: &[Row]) -> String {
    let mut text = format!(
        "## Compile\n\nWritten by `cargo xtask bench compile`: {}.\n\n\
         The hello example of each language. Cold: every cache empty, downloads included. Warm: one line added. Unchanged: nothing\n\
         touched.\n\n\
         | target | artifact | cold | warm | unchanged |\n| --- | ---: | ---: | ---: | ---: |\n",
        crate::report::circumstances(),
    );
    for row in rows {
        let (cold, warm, unchanged) = (time(row.cold), time(row.warm), time(row.unchanged));
        let size = bytes(row.artifact_bytes);
        let _ = writeln!(text, "| {} | {size} | {cold} | {warm} | {unchanged} |", row.name);
    }
    text
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
