//! `ignite-bench-multi [APPS]`: a host of many apps, 10,000 unless said otherwise. Tells its memory while all are idle, the
//! time of each app's first request, and its memory after all were asked once.
//!
//! All are links to one artifact, so the disk holds one component; each is an app of its own, loaded by itself.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use ignite_tests::client::Client;
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};

/// Apps, unless said otherwise.
const APPS: usize = 10_000;
/// How long the host may take to read the folder.
const READ_MAX: Duration = Duration::from_secs(120);
/// What every app is sent.
const PAYLOAD: &[u8] = br#"{"name":"Ada"}"#;

fn main() -> Result<()> {
    let apps =
        std::env::args().nth(1).map_or(Ok(APPS), |text| text.parse()).context("usage: ignite-bench-multi [APPS]")?;
    let dir = tempfile::tempdir()?;
    let artifact = compile(&repository().join("examples/hello-rust"), dir.path(), &["--target", "wasm"])?;
    let folder = dir.path().join("apps");
    std::fs::create_dir(&folder)?;
    for index in 0..apps {
        std::fs::hard_link(&artifact, folder.join(format!("app-{index}.tar.zst")))?;
    }
    let arguments = [OsStr::new("--multi"), folder.as_os_str()];
    let begun = Instant::now();
    let mut host = Host::start_by(&[], &arguments, &[])?;
    host.wait_ready(READ_MAX)?;
    let read = begun.elapsed();
    let idle = pss(host.pid())?;
    let (first, whole) = ask_all(&host, apps)?;
    let (after, loaded) = (pss(host.pid())?, host.metric("ignite_host_apps_loaded")?);
    let (again, _) = ask_all(&host, apps)?;
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let ms = |histogram: &Histogram<u64>, quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{apps} apps, of which {loaded} stay loaded")?;
    writeln!(out, "until the folder was read: {:.1} s", read.as_secs_f64())?;
    writeln!(out, "memory, all idle: {:.1} MiB", mib(idle))?;
    writeln!(out, "memory, all asked once: {:.1} MiB, {:.1} MiB after once more", mib(after), mib(pss(host.pid())?))?;
    for (name, histogram) in [("first request", &first), ("once more", &again)] {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| ms(histogram, quantile));
        writeln!(out, "{name} to each app: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
    }
    writeln!(out, "all of the first requests: {:.1} s", whole.as_secs_f64())?;
    Ok(())
}

/// Asks each app once, one after the other, over one connection.
fn ask_all(host: &Host, apps: usize) -> Result<(Histogram<u64>, Duration)> {
    let mut client = Client::connect(host.address())?;
    let mut times = Histogram::new(3)?;
    let begun = Instant::now();
    for index in 0..apps {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: app-{index}.example.test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            PAYLOAD.len()
        );
        let sent = Instant::now();
        client.send([head.as_bytes(), PAYLOAD].concat())?;
        let answer = client.answer()?;
        times.record(u64::try_from(sent.elapsed().as_micros())?.max(1))?;
        ensure!(answer.status == 200, "app-{index} answered {}: {}", answer.status, answer.text());
    }
    Ok((times, begun.elapsed()))
}

/// Memory of a process, shared pages counted by their share, in bytes.
fn pss(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("the system tells no share")?;
    Ok(line.split_whitespace().next().context("a number")?.parse::<u64>()? * 1024)
}
