//! The page's part about limits.

use std::fmt::Write as _;

use super::table::{Table, microseconds, milliseconds, thousands};
use crate::deadlines::{Found, OFFERED, STOLEN_MAX, Sample};
use crate::options::Options;
use crate::stolen::{Calmest, TRIES_MAX};

/// The aim, in milliseconds.
const LATE_MS_MAX: f64 = 5.0;

/// All of it.
pub(crate) fn markdown(all: &[Calmest<Found>], options: &Options) -> String {
    let mut text = format!("## Limits\n\nWritten by `cargo xtask bench deadlines`: {}.", super::circumstances());
    if options.quick {
        text.push_str(" **A quick run: it shows that all works, not how exact it is.**");
    }
    let _ = write!(
        text,
        "\n\nExecutions that never end by themselves are sent at a steady pace, each with a limit between 60 and 150 ms. \
         What the host serves of hello requests beside them is found by a closed loop; {OFFERED} of that is then offered by \
         an open one, on the same two cores as the generator. Late: from the limit, counted from the moment the request was \
         sent, to the arrival of the answer, earlier or later. The machine: a thread of the generator that sleeps for the \
         same time. Both have the real-time policy where that is allowed, so that what makes the second late is whatever else \
         the machine does. Beyond it: the one less the other, answer by answer. Stolen: what a hypervisor kept for others of the \
         processors' time (`steal` of /proc/stat); a target of whose run it kept more than {:.1} % is measured again, {TRIES_MAX} \
         times at most, and the run with the least of it stands. Aim: p99 ≤ {LATE_MS_MAX} ms.\n\n",
        STOLEN_MAX * 1e2
    );
    let mut table = Table::new(&[
        "target",
        "hello/s at most",
        "offered",
        "p99 of hello",
        "wrong",
        "at limits",
        "late, p50",
        "p99",
        "most",
        "the machine, p99",
        "beyond it, p99",
        "stolen",
        "",
    ]);
    for Calmest { found, stolen, .. } in all {
        let late = Figures::of(&found.samples, |sample| sample.late_ms);
        let own = Figures::of(&found.samples, |sample| sample.own_ms);
        let beyond = Figures::of(&found.samples, |sample| sample.late_ms - sample.own_ms);
        let waited = found.samples.iter().filter(|sample| sample.status == 503).count();
        table.row(&[
            found.subject.name.into(),
            thousands(found.capacity),
            thousands(found.capacity * OFFERED),
            microseconds(found.load.latency.value_at_quantile(0.99) as f64 / 1e3),
            match &found.load.first_error {
                None => "0".into(),
                Some(first) => format!("{} of {}: {first}", found.load.errors, found.load.answers),
            },
            match waited {
                0 => found.samples.len().to_string(),
                waited => format!("{}, {waited} never began", found.samples.len()),
            },
            milliseconds(late.p50),
            milliseconds(late.p99),
            milliseconds(late.most),
            milliseconds(own.p99),
            milliseconds(beyond.p99),
            format!("{:.2} %", stolen * 1e2),
            if late.p99 <= LATE_MS_MAX { "kept" } else { "**missed**" }.into(),
        ]);
    }
    text.push_str(&table.finish());
    text.push_str("\nBy what the execution does, p50 / most:\n\n");
    for Calmest { found, .. } in all {
        let mut ways: Vec<&str> = found.samples.iter().map(|sample| sample.way).collect();
        ways.sort_unstable();
        ways.dedup();
        let each = ways.into_iter().map(|way| {
            let own: Vec<Sample> = found.samples.iter().filter(|sample| sample.way == way).cloned().collect();
            let late = Figures::of(&own, |sample| sample.late_ms);
            format!("{} {} / {}", way.replace('_', " "), milliseconds(late.p50), milliseconds(late.most))
        });
        let name = found.subject.name;
        let _ = writeln!(
            text,
            "- {name}, {} in a second: {}",
            found.subject.per_second,
            each.collect::<Vec<_>>().join("; ")
        );
    }
    text
}

/// Quantiles of the distance from the limit.
struct Figures {
    p50: f64,
    p99: f64,
    most: f64,
}

impl Figures {
    fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Self {
        let mut sorted: Vec<f64> = samples.iter().map(|sample| figure(sample).abs()).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (sorted.len() as f64 * share).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: at(0.5), p99: at(0.99), most: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_counts_like_late() {
        let sample = |late_ms| Sample { way: "spins", late_ms, own_ms: 0.0, status: 504 };
        let samples: Vec<Sample> = (0..100).map(|index| sample(if index == 99 { -9.0 } else { 0.1 })).collect();
        let late = Figures::of(&samples, |sample| sample.late_ms);
        assert_eq!((late.p50, late.p99, late.most), (0.1, 0.1, 9.0));
        assert_eq!(Figures::of(&samples[..99], |sample| sample.late_ms).most, 0.1);
        assert_eq!(Figures::of(&samples[98..], |sample| sample.late_ms).p99, 9.0);
    }
}
