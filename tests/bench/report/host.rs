//! The page's part about the host.

use std::fmt::Write as _;

use super::chart::{self, Bar, Kind};
use super::table::{Table, megabytes, microseconds, milliseconds, ratio, thousands};
use crate::cold::Starts;
use crate::contenders::Standing;
use crate::generator::Handler;
use crate::host::{Outcome, Results};
use crate::options::Options;
use crate::rounds::{CONNECTIONS, Figures, STEERED_BY, STOLEN_MAX, median};
use crate::targets::{self, Bound};

/// From this share of a core on, a figure may be the generator's.
const GENERATOR_SHARE_MAX: f64 = 0.9;

/// All of it.
pub(crate) fn markdown(results: &Results, options: &Options) -> String {
    let mut text = format!("## Serve\n\nWritten by `cargo xtask bench host`: {}.", super::circumstances());
    if options.quick {
        text.push_str(" **A quick run: it shows that all works, not how fast it is.**");
    }
    let _ = write!(
        text,
        "\n\nServers and load generator share the cores, and the machine is small: read the ratios of one run. Rounds are interleaved \
         ({} of each contender); throughput is the median round, a ratio the median of the rounds' own ratios, latencies are of all rounds \
         together. The generator is a \
         closed loop with keep-alive and without pipelining on one thread: what a stalled server was not asked meanwhile is not \
         added (no correction for coordinated omission). Each answer's status and body are checked; each request has an id \
         of its own that must come back. A hypervisor kept {:.1} % of the processors' time for others meanwhile (`steal` of /proc/stat). A load during which it kept more \
         than {:.0} % is measured again, {} times at most, and the one with the least of it stands, whatever it found: {} were \
         repeated, of {}. Where an answer was wrong is told of all.\n\n",
        results.plan.rounds,
        results.stolen * 1e2,
        STOLEN_MAX * 1e2,
        results.plan.tries,
        repeated(results),
        results.outcomes.iter().map(|outcome| outcome.measured.loads()).sum::<usize>(),
    );
    text.push_str("![Requests in a second](numbers-throughput.svg)\n\n![Processor time](numbers-cpu.svg)\n\n![Starts](numbers-start.svg)\n\n");
    text.push_str(&aims(results));
    text.push_str(&steered(results));
    for handler in [Handler::Hello, Handler::Echo, Handler::Wait] {
        text.push_str(&by_connections(results, handler));
    }
    text.push_str(&starts(results));
    text.push_str(&phases(results));
    text.push_str(&hosts(results));
    text.push_str(&contenders(results));
    text
}

/// How many loads were measured once more.
fn repeated(results: &Results) -> usize {
    results.outcomes.iter().flat_map(|outcome| &outcome.measured.cells).map(|figures| figures.repeated).sum()
}

fn aims(results: &Results) -> String {
    let aims = targets::aims(results);
    if aims.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["aim", "bound", "found", ""]);
    for aim in &aims {
        let (sign, bound) = match aim.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        let verdict = match aim.reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let found = aim.found.map_or("–".into(), |found| format!("{found:.2} {}", aim.unit));
        table.row(&[aim.what.clone(), format!("{sign} {bound} {}", aim.unit), found, verdict.into()]);
    }
    let reached = aims.iter().filter(|aim| aim.reached() == Some(true)).count();
    format!("### Aims\n\n{reached} of {} are reached.\n\n{}\n", aims.len(), table.finish())
}

fn steered(results: &Results) -> String {
    let (handler, connections) = STEERED_BY;
    let mut table = Table::new(&[
        "server",
        "requests/s",
        "least – most",
        "of echo",
        "of its peer",
        "p50",
        "p99",
        "p99.9",
        "CPU per request",
        "first process",
        "memory, peak",
        "generator",
        "stolen",
    ]);
    let share = |own: &Figures, of: &str| {
        let of = targets::figures(results, of, handler, connections).and_then(|other| own.share_of(other));
        of.map_or("–".into(), |share| format!("{share:.2}"))
    };
    for outcome in &results.outcomes {
        let name = outcome.contender.name;
        let Some(figures) = outcome.measured.cell(&results.plan, handler, connections) else {
            table.row(&missing_row(outcome, 13));
            continue;
        };
        let peer = match outcome.contender.place {
            Standing::Ours(peer) => format!("{} ({peer})", share(figures, peer)),
            _ => String::new(),
        };
        let saturated = if figures.generator_share >= GENERATOR_SHARE_MAX { " **full**" } else { "" };
        table.row(&[
            name.into(),
            thousands(figures.throughput()),
            format!("{} – {}", thousands(figures.least()), thousands(figures.most())),
            share(figures, "echo"),
            peer,
            microseconds(figures.latency_us(0.5)),
            microseconds(figures.latency_us(0.99)),
            microseconds(figures.latency_us(0.999)),
            microseconds(figures.cpu_us()),
            microseconds(figures.cpu_first_us()),
            megabytes(outcome.measured.memory_peak_bytes),
            format!("{:.0} %{saturated}", figures.generator_share * 100.0),
            format!("{:.1} %", figures.stolen * 100.0),
        ]);
    }
    format!(
        "### Hello at {connections} connections\n\n\
         CPU per request: user and system time of the whole process tree, reaped children too; of it the first process: of ours the host, the rest its workers. Memory: the most at the end of any load, \
         each process by its share of shared pages (PSS). Generator: the share of one core that it used itself; where it is full, a \
         faster generator would have found more. Stolen: of the processors' time, in the round with the most of it.\n\n{}\n",
        table.finish()
    )
}

fn by_connections(results: &Results, handler: Handler) -> String {
    let mut columns = vec!["server".to_owned()];
    columns.extend(CONNECTIONS.map(|count| format!("at {count}")));
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    for outcome in &results.outcomes {
        let cells = CONNECTIONS.map(|count| outcome.measured.cell(&results.plan, handler, count));
        if cells.iter().all(Option::is_none) {
            table.row(&missing_row(outcome, columns.len()));
            continue;
        }
        let mut row = vec![outcome.contender.name.to_owned()];
        row.extend(cells.map(|figures| figures.map_or("–".into(), cell)));
        table.row(&row);
    }
    format!(
        "### {}, by connections\n\nRequests in a second; p50 / p99 / p99.9; processor time of one.\n\n{}\n",
        capital(handler.name()),
        table.finish()
    )
}

fn cell(figures: &Figures) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| microseconds(figures.latency_us(quantile)));
    let errors = if figures.errors > 0 { format!("; **{} wrong**", figures.errors) } else { String::new() };
    // Ticks are of 10 ms: of less than ten nothing can be said.
    let cpu = if figures.cpu.all < 0.095 { "–".into() } else { microseconds(figures.cpu_us()) };
    format!("{}; {p50} / {p99} / {p999}; {cpu}{errors}", thousands(figures.throughput()))
}

fn missing_row(outcome: &Outcome, columns: usize) -> Vec<String> {
    let mut row = vec![outcome.contender.name.to_owned(), "missing: see below".to_owned()];
    row.resize(columns, String::new());
    row
}

fn starts(results: &Results) -> String {
    let mut table = Table::new(&["server", "warm", "of echo", "least – most", "cold", "least – most"]);
    let echo = results.of("echo").and_then(|echo| targets::start_ms(&echo.starts.warm));
    for outcome in &results.outcomes {
        let Some(warm) = targets::start_ms(&outcome.starts.warm) else {
            table.row(&missing_row(outcome, 6));
            continue;
        };
        let spread = |starts: &[crate::cold::Start]| {
            let times = || starts.iter().map(|start| start.total_ms);
            format!("{:.1} – {:.1}", times().fold(f64::MAX, f64::min), times().fold(0.0, f64::max))
        };
        let cold = targets::start_ms(&outcome.starts.cold);
        table.row(&[
            outcome.contender.name.into(),
            milliseconds(warm),
            ratio(warm, echo),
            spread(&outcome.starts.warm),
            cold.map_or("–".into(), milliseconds),
            if cold.is_some() { spread(&outcome.starts.cold) } else { "–".into() },
        ]);
    }
    format!(
        "### Start\n\nFrom `exec` to the first right answer. Cold: the contender's own files (program, interpreter, packages, artifact) \
         were dropped from the page cache before; libraries that other processes have mapped stay.\n\n{}\n",
        table.finish()
    )
}

fn phases(results: &Results) -> String {
    let told = |outcome: &&Outcome| outcome.starts.warm.iter().any(|start| !start.phases.is_empty());
    let Some(first) = results.outcomes.iter().find(told) else { return String::new() };
    let names: Vec<String> = Starts::middle(&first.starts.warm)
        .map_or(Vec::new(), |start| start.phases.iter().map(|(name, _)| name.clone()).collect());
    let mut columns = vec!["target, page cache"];
    columns.extend(names.iter().map(String::as_str));
    columns.push("together");
    let mut table = Table::new(&columns);
    for outcome in results.outcomes.iter().filter(told) {
        for (word, starts) in [("warm", &outcome.starts.warm), ("cold", &outcome.starts.cold)] {
            let Some(start) = Starts::middle(starts) else { continue };
            let mut row = vec![format!("{}, {word}", outcome.contender.name)];
            // What a target does not have takes no time.
            let part = |ms: f64| if ms == 0.0 { "–".into() } else { milliseconds(ms) };
            row.extend(start.phases.iter().map(|(_, ms)| part(*ms)));
            row.push(milliseconds(start.total_ms));
            row.resize(columns.len(), String::new());
            table.row(&row);
        }
    }
    let bare: String = results
        .bare_ms
        .iter()
        .map(|(name, ms)| {
            format!("- {name} alone, from `exec` to its end with an empty program: {}\n", milliseconds(*ms))
        })
        .collect();
    format!(
        "The middle start of each target by phases, as the host's log line `ready` tells them. Process: from `exec` to the host's \
         own start, listener and folders in it. Engine or interpreter: of a component the engine with its pool; of Python and Deno the bare \
         interpreter as measured beside, which is a part of what the host waits for. Load: what else lies between the artifact \
         and a handler that can be invoked. First call: what is left until the answer was read, the pause between two tries of \
         the bench (0.2 ms) in it.\n\n{}\n{bare}\n",
        table.finish()
    )
}

fn hosts(results: &Results) -> String {
    let ours = || results.outcomes.iter().filter(|outcome| outcome.idle.is_some() || outcome.warm.is_some());
    if ours().next().is_none() {
        return String::new();
    }
    let mut table = Table::new(&[
        "target",
        "memory, just answered",
        "memory, at rest",
        "idle drain",
        "worker replaced, at once",
        "worker replaced, host up",
        "warm host: ready",
        "warm host: first answer",
    ]);
    let mut remarks = Vec::new();
    for outcome in ours() {
        let middle = |figures: &[f64]| median(figures).map_or("–".into(), milliseconds);
        let idle = outcome.idle.as_ref();
        let (ready, first) = match &outcome.warm {
            Some(Ok(warm)) => {
                let because = warm.cold_because.as_ref();
                remarks.extend(because.map(|why| format!("{}: started anew, because {why}", outcome.contender.name)));
                (middle(&warm.ready_ms), middle(&warm.total_ms))
            }
            Some(Err(why)) => {
                remarks.push(format!("{}: no warm host: {}", outcome.contender.name, short(why)));
                ("–".into(), "–".into())
            }
            None => ("–".into(), "–".into()),
        };
        table.row(&[
            outcome.contender.name.into(),
            idle.map_or("–".into(), |idle| megabytes(idle.answered_bytes)),
            idle.map_or("–".into(), |idle| megabytes(idle.rest_bytes)),
            idle.map_or("–".into(), |idle| middle(&idle.drain_ms)),
            middle(&outcome.replace_ms),
            middle(&outcome.replace_up_ms),
            ready,
            first,
        ]);
    }
    if let Some(forks) = &results.forks {
        let (times, bytes) = (&forks.fork_ms, &forks.private_bytes);
        if let Some(ms) = median(times) {
            let most = times.iter().copied().fold(0.0, f64::max);
            remarks.push(format!(
                "Python: one more worker answers after {} ({} forks, at most {})",
                milliseconds(ms),
                times.len(),
                milliseconds(most)
            ));
        }
        if let Some(middle) = median(&bytes.iter().map(|bytes| *bytes as f64).collect::<Vec<_>>()) {
            remarks.push(format!(
                "Python: {} workers with pydantic have {} of memory of their own each",
                bytes.len(),
                megabytes(middle as u64)
            ));
        }
        remarks.extend(forks.missing.iter().map(|what| format!("Python: not measured: {}", short(what))));
    }
    let remarks: String = remarks.iter().map(|remark| format!("- {remark}\n")).collect();
    format!(
        "### Hosts and workers\n\nThe host's own defaults. Memory: process tree, by shares, 0.3 s after the first answer, and at rest, 16 s later. \
         Drain: SIGTERM to the end of the process. Replaced: SIGKILL of the worker that answered to the next right answer, at once after the \
         first one, and once the host has been up for 0.1 s. Warm host: from the order on the admin socket of a host that was up without code.\n\n{}\n{remarks}\n",
        table.finish()
    )
}

fn contenders(results: &Results) -> String {
    let mut table = Table::of_words(&["contender", "version", "how", "remarks"]);
    for outcome in &results.outcomes {
        let (wrong, first) = outcome.measured.errors();
        let mut remarks =
            outcome.missing.clone().map(|reason| format!("missing: {}", short(&reason))).unwrap_or_default();
        if wrong > 0 {
            let _ =
                write!(remarks, " {wrong} wrong or missing answers, the first: {}", short(first.unwrap_or_default()));
        }
        table.row(&[
            outcome.contender.name.into(),
            outcome.version.clone(),
            outcome.contender.how.into(),
            remarks.trim().into(),
        ]);
    }
    format!("### Contenders\n\n{}", table.finish())
}

/// The charts: file names and pictures.
pub(crate) fn charts(results: &Results) -> Vec<(&'static str, String)> {
    let (handler, connections) = STEERED_BY;
    let bars = |value: &dyn Fn(&Outcome) -> Option<f64>, label: &dyn Fn(f64) -> String| {
        let bar = |outcome: &Outcome| {
            let value = value(outcome)?;
            let kind = match outcome.contender.place {
                Standing::Limit => Kind::Limit,
                Standing::Ours(_) => Kind::Ours,
                _ => Kind::Peer,
            };
            let name = if kind == Kind::Ours {
                format!("Ignite {}", outcome.contender.name)
            } else {
                outcome.contender.name.to_owned()
            };
            Some(Bar { name, value, label: label(value), kind })
        };
        results.outcomes.iter().filter_map(bar).collect::<Vec<Bar>>()
    };
    let cell = |outcome: &Outcome, of: &dyn Fn(&Figures) -> f64| {
        outcome.measured.cell(&results.plan, handler, connections).map(of)
    };
    let mut throughput = bars(&|outcome| cell(outcome, &Figures::throughput), &thousands);
    throughput.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut cpu = bars(&|outcome| cell(outcome, &Figures::cpu_us), &microseconds);
    cpu.sort_by(|a, b| a.value.total_cmp(&b.value));
    let mut start = bars(&|outcome| targets::start_ms(&outcome.starts.warm), &milliseconds);
    start.sort_by(|a, b| a.value.total_cmp(&b.value));
    let note = "small JSON in, greeting with its id out; 64 connections";
    vec![
        (
            "numbers-throughput.svg",
            chart::bars("Requests in a second", &format!("{note}; more is better"), &throughput),
        ),
        (
            "numbers-cpu.svg",
            chart::bars("Processor time of one request", &format!("{note}; whole process tree; less is better"), &cpu),
        ),
        (
            "numbers-start.svg",
            chart::bars("Start of the process to the first answer", "page cache warm; less is better", &start),
        ),
    ]
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A reason that fits into a cell: paths of this machine are cut to their last part, addresses of registries are left out.
fn short(reason: &str) -> String {
    const LETTERS_MAX: usize = 300;
    let words = reason.split_whitespace().filter_map(|word| {
        let bare = word.trim_matches(|letter: char| "`'\"(),:;".contains(letter));
        if bare.contains("://") {
            return None;
        }
        match bare.strip_prefix('/').and_then(|path| path.rsplit('/').next()).filter(|_| bare.matches('/').count() > 2)
        {
            Some(last) => Some(word.replace(bare, last)),
            None => Some(word.to_owned()),
        }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LETTERS_MAX { text } else { text.chars().take(LETTERS_MAX).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn reasons_name_no_place_of_this_machine() {
        assert_eq!(short("`go` failed: reading https://a.b/c/d: 403\nsays it"), "`go` failed: reading 403 says it");
        assert_eq!(short("could not start `/home/ada/bin/x`"), "could not start `x`");
    }
}
