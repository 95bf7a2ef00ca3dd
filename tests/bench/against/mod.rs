//! The compiler beside each language's own tool, used by hand, in interleaved rounds.
//!
//! Both do the work an author waits for: the same sources with the same line changed, the same settings, warm caches. What
//! one round does to the machine it does to both, so that the ratios hold where the figures do not.

mod hand;
mod rust;
mod sandbox;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ignite_tests::product::{binary, repository};

use crate::compile::copy;
use crate::kit::Kit;
use crate::report::table::{Table, milliseconds, ratio};

/// Rounds of what takes seconds.
const ROUNDS_LONG: usize = 5;
/// Rounds of what takes less.
const ROUNDS: usize = 9;
/// A compile of nothing new may take this long.
const UNCHANGED_MS_MAX: f64 = 100.0;

/// What was measured of one thing both can do.
pub(crate) struct Row {
    /// What was done.
    pub(crate) what: String,
    /// Times of the compiler.
    pub(crate) ours: Vec<Duration>,
    /// Times of the tool by hand.
    pub(crate) hand: Vec<Duration>,
    /// What the ratio should not exceed.
    pub(crate) ratio_max: Option<f64>,
}

/// An app of the compiler's, with a cache of its own.
pub(crate) struct App {
    project: PathBuf,
    cache: PathBuf,
    out: PathBuf,
}

impl App {
    /// Compiles `project` with the cache `cache`.
    pub(crate) fn new(project: &Path, cache: &Path) -> Self {
        let out = project.with_extension("tar.zst");
        Self { project: project.to_owned(), cache: cache.to_owned(), out }
    }

    /// One compile, as a person starts it.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(crate) fn compile(&self) -> Result<Duration> {
        let mut command = Command::new(binary("ignite")?);
        command.arg("compile").arg(&self.project).arg("--out").arg(&self.out).env("IGNITE_CACHE_DIR", &self.cache);
        timed(&mut command)
    }
}

/// Runs a command to its good end.
///
/// # Errors
/// When it cannot be started or fails, with what it said.
pub(crate) fn timed(command: &mut Command) -> Result<Duration> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output();
    let elapsed = started.elapsed();
    let name = command.get_program().to_string_lossy().into_owned();
    let output = output.with_context(|| format!("{name} could not be started"))?;
    if !output.status.success() {
        bail!("{name} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(elapsed)
}

/// Measures everything and draws it.
///
/// # Errors
/// When something does not compile.
pub(crate) fn measure(work: &Path) -> Result<String> {
    let kit = Kit::new(work)?;
    let cache = work.join("against.cache");
    let mut rows = rust::rows(work, &cache)?;
    for language in hand::LANGUAGES {
        crate::say(&format!("against {}", language.name));
        rows.extend(language_rows(language, &kit, work, &cache).with_context(|| language.name)?);
    }
    let sandbox = sandbox::overhead()?;
    Ok(draw(&rows, sandbox))
}

/// Nothing changed, and one line changed.
fn language_rows(language: &hand::Language, kit: &Kit, work: &Path, cache: &Path) -> Result<Vec<Row>> {
    let (ours, by_hand) = (work.join(language.name), work.join(format!("{}-by-hand", language.name)));
    for folder in [&ours, &by_hand] {
        copy(&repository().join("examples").join(language.project), folder)?;
    }
    let app = App::new(&ours, cache);
    let hand = (language.prepare)(kit, &by_hand)?;
    // Both have seen everything but the line to come.
    app.compile()?;
    hand()?;
    let mut changed = Row {
        what: format!("{}: one line changed; by hand `{}`", language.name, language.by_hand),
        ours: Vec::new(),
        hand: Vec::new(),
        ratio_max: Some(1.2),
    };
    for round in 0..ROUNDS {
        for folder in [&ours, &by_hand] {
            let file = folder.join(language.file);
            let text = std::fs::read_to_string(&file)?;
            std::fs::write(&file, format!("{text}{} {round}\n", language.comment))?;
        }
        changed.ours.push(app.compile()?);
        changed.hand.push(hand()?);
    }
    Ok(vec![changed, unchanged(language.name, &app)?])
}

/// What a compile takes that has nothing to do.
pub(crate) fn unchanged(name: &str, app: &App) -> Result<Row> {
    let ours: Result<Vec<Duration>> = (0..ROUNDS).map(|_| app.compile()).collect();
    Ok(Row { what: format!("{name}: nothing changed"), ours: ours?, hand: Vec::new(), ratio_max: None })
}

fn median(times: &[Duration]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map(|time| time.as_secs_f64() * 1e3)
}

fn draw(rows: &[Row], (locked_up, open): (Duration, Duration)) -> String {
    let mut table = Table::new(&["what", "ignite", "by hand", "ratio", "at most", ""]);
    for row in rows {
        let (ours, hand) = (median(&row.ours).unwrap_or_default(), median(&row.hand));
        let (bound, kept) = match row.ratio_max {
            Some(max) => (format!("{max:.2}"), hand.is_some_and(|hand| ours <= max * hand)),
            None => (format!("{UNCHANGED_MS_MAX:.0} ms"), ours <= UNCHANGED_MS_MAX),
        };
        let by_hand = hand.map_or_else(|| "–".to_owned(), time);
        table.row(&[row.what.clone(), time(ours), by_hand, ratio(ours, hand), bound, verdict(kept)]);
    }
    let (locked_up, open) = (locked_up.as_secs_f64() * 1e3, open.as_secs_f64() * 1e3);
    let overhead = locked_up - open;
    table.row(&[
        "a step that does nothing: in a sandbox, and without".to_owned(),
        time(locked_up),
        time(open),
        format!("+{}", milliseconds(overhead)),
        format!("{:.0} ms", sandbox::OVERHEAD_MS_MAX),
        verdict(overhead <= sandbox::OVERHEAD_MS_MAX),
    ]);
    format!(
        "### Beside the languages' own tools\n\nMedians of {ROUNDS} rounds ({ROUNDS_LONG} where it takes seconds), the compiler and the tool by hand in \
         turn, on the same sources, each in\na folder and with caches of its own, all warm. A new Rust app is one of a name, a source and a folder that were \
         never\nseen, with dependencies that were; by hand it is compiled with its packages downloaded.\n\n{}",
        table.finish()
    )
}

fn verdict(kept: bool) -> String {
    if kept { "kept" } else { "missed" }.to_owned()
}

fn time(ms: f64) -> String {
    if ms < 1000.0 { milliseconds(ms) } else { format!("{:.1} s", ms / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_said() {
        let ms = Duration::from_millis;
        let row = |ours, hand: &[u64], ratio_max| Row {
            what: "x".to_owned(),
            ours: vec![ms(ours)],
            hand: hand.iter().map(|hand| ms(*hand)).collect(),
            ratio_max,
        };
        let rows = [row(120, &[90, 100, 500], Some(1.2)), row(130, &[100], Some(1.2)), row(101, &[], None)];
        let text = draw(&rows, (ms(30), ms(4)));
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("kept") || line.contains("missed")).collect();
        assert_eq!(
            lines,
            [
                "| x | 120.0 ms | 100.0 ms | 1.20 | 1.20 | kept |",
                "| x | 130.0 ms | 100.0 ms | 1.30 | 1.20 | missed |",
                "| x | 101.0 ms | – | – | 100 ms | missed |",
                "| a step that does nothing: in a sandbox, and without | 30.0 ms | 4.00 ms | +26.0 ms | 25 ms | missed |",
            ]
        );
    }
}
