//! `cargo xtask bench`: measures every target beside a bare axum echo in one run and writes docs/reference/numbers.md.
//!
//! Absolute figures of a small shared machine drift; the ratios of one run hold.

mod load;
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ignite_tests::product::{binary, repository};

use process::Server;

/// What every server is sent.
const PAYLOAD: &[u8] = br#"{"name":"Ada"}"#;
/// Servers are measured in turn, this often.
const ROUNDS: usize = 3;
/// How long one load runs.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// Starts that are measured; the median is told.
const COLD_STARTS: usize = 9;
/// Connections of the throughput runs.
const CONNECTIONS: usize = 64;

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
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) artifact_bytes: u64,
    pub(crate) compile_cold: Duration,
    pub(crate) compile_warm: Duration,
    pub(crate) compile_unchanged: Duration,
    pub(crate) served: Served,
}

/// What was measured of a server.
#[derive(Default, Clone)]
pub(crate) struct Served {
    pub(crate) cold_start: Duration,
    /// Median of the rounds' medians at one connection, in µs.
    pub(crate) latency_us: u64,
    /// Median of the rounds at 64 connections.
    pub(crate) per_second: f64,
    /// At 64 connections, in µs.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Processor time of the process tree for one request at 64 connections, in µs.
    pub(crate) cpu_us: f64,
    /// After the load, in bytes.
    pub(crate) memory_bytes: u64,
}

fn main() -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut rows = Vec::new();
    let mut commands = vec![("axum echo", Contender::Echo(binary("ignite-bench-echo")?))];
    for target in &TARGETS {
        let (row, artifact) = compile(target, work.path()).with_context(|| target.name)?;
        commands.push((target.name, Contender::Host(artifact)));
        rows.push(row);
    }
    let served = measure(&commands)?;
    for (row, served) in rows.iter_mut().zip(&served[1..]) {
        row.served = served.clone();
    }
    let text = report::markdown(&served[0], &rows);
    std::fs::write(repository().join("docs/reference/numbers.md"), &text)?;
    report::print(&text);
    Ok(())
}

/// Compiles a copy of the project three times: with empty caches, after one more line, and with nothing changed.
fn compile(target: &Target, work: &Path) -> Result<(Row, PathBuf)> {
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
    let compile_cold = compile()?;
    let file = project.join(target.touch.0);
    std::fs::write(&file, std::fs::read_to_string(&file)? + target.touch.1)?;
    let compile_warm = compile()?;
    let compile_unchanged = compile()?;
    let artifact_bytes = artifact.metadata()?.len();
    let row = Row {
        name: target.name,
        artifact_bytes,
        compile_cold,
        compile_warm,
        compile_unchanged,
        served: Served::default(),
    };
    Ok((row, artifact))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
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

/// What is measured.
enum Contender {
    Echo(PathBuf),
    Host(PathBuf),
}

impl Contender {
    fn start(&self) -> Result<Server> {
        match self {
            Self::Echo(binary) => Server::start(&mut Command::new(binary), PAYLOAD),
            Self::Host(artifact) => Server::start(
                Command::new(binary("ignite-host")?)
                    .arg("--artifact")
                    .arg(artifact)
                    .env("IGNITE_LISTEN_HOST", "127.0.0.1")
                    .env("IGNITE_MAX_CONCURRENCY", CONNECTIONS.to_string()),
                PAYLOAD,
            ),
        }
    }
}

/// Measures all contenders in interleaved rounds, so that a slow minute hits all of them.
fn measure(contenders: &[(&str, Contender)]) -> Result<Vec<Served>> {
    let mut rounds: Vec<Vec<Served>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for ((name, contender), rounds) in contenders.iter().zip(&mut rounds) {
            report::progress(&format!("round {} of {ROUNDS}: {name}", round + 1));
            rounds.push(one_round(contender).with_context(|| name.to_string())?);
        }
    }
    let mut served: Vec<Served> = rounds.iter().map(|rounds| middle(rounds)).collect();
    for ((_, contender), served) in contenders.iter().zip(&mut served) {
        let starts: Result<Vec<Duration>> = (0..COLD_STARTS).map(|_| Ok(contender.start()?.cold_start)).collect();
        served.cold_start = median(starts?);
    }
    Ok(served)
}

fn one_round(contender: &Contender) -> Result<Served> {
    let server = contender.start()?;
    load::run(server.address, PAYLOAD, CONNECTIONS, LOAD_TIME / 6)?;
    let single = load::run(server.address, PAYLOAD, 1, LOAD_TIME / 3)?;
    let cpu_before = server.cpu_seconds();
    let load = load::run(server.address, PAYLOAD, CONNECTIONS, LOAD_TIME)?;
    let cpu = server.cpu_seconds() - cpu_before;
    Ok(Served {
        cold_start: server.cold_start,
        latency_us: single.latency.value_at_quantile(0.5),
        per_second: load.per_second,
        p50_us: load.latency.value_at_quantile(0.5),
        p99_us: load.latency.value_at_quantile(0.99),
        cpu_us: cpu * 1e6 / load.latency.len() as f64,
        memory_bytes: server.memory_bytes(),
    })
}

/// The median of each figure.
fn middle(rounds: &[Served]) -> Served {
    let figure = |of: fn(&Served) -> f64| median_of(rounds.iter().map(of).collect());
    Served {
        cold_start: Duration::ZERO,
        latency_us: figure(|served| served.latency_us as f64) as u64,
        per_second: figure(|served| served.per_second),
        p50_us: figure(|served| served.p50_us as f64) as u64,
        p99_us: figure(|served| served.p99_us as f64) as u64,
        cpu_us: figure(|served| served.cpu_us),
        memory_bytes: figure(|served| served.memory_bytes as f64) as u64,
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn median_of(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
