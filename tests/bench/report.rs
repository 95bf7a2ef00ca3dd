//! The figures as a page.

use std::fmt::Write as _;
use std::time::Duration;

use crate::{Row, Served};

/// The whole of docs/reference/numbers.md.
pub(crate) fn markdown(echo: &Served, rows: &[Row]) -> String {
    let mut text = format!(
        "# Numbers\n\nWritten by `cargo xtask bench` on {} cores, Linux {}. The machine is small and shared: read the ratios to the\n\
         bare axum echo of the same run, not the absolute figures. Servers and load generator share the cores.\n\n\
         ## Compile\n\n\
         The hello example of each language. Cold: every cache empty, downloads included. Warm: one line added. Unchanged: nothing\n\
         touched.\n\n\
         | target | artifact | cold | warm | unchanged |\n| --- | ---: | ---: | ---: | ---: |\n",
        std::thread::available_parallelism().map_or(0, usize::from),
        kernel(),
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.name,
            bytes(row.artifact_bytes),
            time(row.compile_cold),
            time(row.compile_warm),
            time(row.compile_unchanged)
        );
    }
    text.push_str(
        "\n## Serve\n\n\
         Cold start: from the start of the process to the first answer, page cache warm. Throughput, p50, p99 and processor time of the\n\
         whole process tree at 64 connections; latency at one. Memory: proportional share (PSS) of the process tree after the load.\n\n\
         | server | cold start | latency at 1 | requests/s | of echo | p50 | p99 | CPU per request | memory |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    serve_line(&mut text, "axum echo", echo, echo);
    for row in rows {
        serve_line(&mut text, row.name, &row.served, echo);
    }
    text
}

fn serve_line(text: &mut String, name: &str, served: &Served, echo: &Served) {
    let _ = writeln!(
        text,
        "| {name} | {} | {} µs | {:.0} | {:.2} | {} µs | {} µs | {:.1} µs | {} |",
        time(served.cold_start),
        served.latency_us,
        served.per_second,
        served.per_second / echo.per_second,
        served.p50_us,
        served.p99_us,
        served.cpu_us,
        bytes(served.memory_bytes)
    );
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.split('-').next().unwrap_or_default().trim().to_owned()
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

/// Shows a line while the bench runs.
#[expect(clippy::print_stderr, reason = "a bench speaks to the person who waits for it")]
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// Shows the finished page.
#[expect(clippy::print_stdout, reason = "a bench's result")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}
