//! Processor time that the machine below a virtual one kept for others.

use std::fs;

use anyhow::Result;

/// Most times that something is measured for which processor time was stolen.
pub(crate) const TRIES_MAX: u32 = 3;

/// What was found, and how much the machine was its own meanwhile.
#[derive(Debug)]
pub(crate) struct Calmest<T> {
    pub(crate) found: T,
    /// The share of the processors' time that was stolen meanwhile, from 0 to 1.
    pub(crate) stolen: f64,
    /// What was found before or after, while more was stolen.
    pub(crate) others: Vec<T>,
}

/// The first run during which no more than the share `most` was stolen, or of `tries` the one with the least of it. What a run
/// found has no say in that. `what` is for whoever watches.
///
/// # Errors
/// The first of a run.
pub(crate) fn calmest<T>(what: &str, most: f64, tries: u32, mut run: impl FnMut() -> Result<T>) -> Result<Calmest<T>> {
    choose(what, most, tries, || {
        let meter = Meter::begin();
        Ok((run()?, meter.share()))
    })
}

fn choose<T>(what: &str, most: f64, tries: u32, mut run: impl FnMut() -> Result<(T, f64)>) -> Result<Calmest<T>> {
    let (found, stolen) = run()?;
    let mut best = Calmest { found, stolen, others: Vec::new() };
    for _ in 1..tries {
        if best.stolen <= most {
            break;
        }
        crate::say(&format!("{what}: {:.1} % of the processors' time was stolen; once more", best.stolen * 1e2));
        let (mut next, stolen) = run()?;
        if stolen < best.stolen {
            std::mem::swap(&mut next, &mut best.found);
            best.stolen = stolen;
        }
        best.others.push(next);
    }
    Ok(best)
}

/// Counts from when it was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter(Ticks);

/// Clock ticks of all processors together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ticks {
    stolen: u64,
    all: u64,
}

impl Meter {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self(now())
    }

    /// The share of the processors' time that was stolen since, from 0 to 1; 0 where the kernel does not say.
    pub(crate) fn share(self) -> f64 {
        share(self.0, now())
    }
}

fn share(before: Ticks, after: Ticks) -> f64 {
    let all = after.all.saturating_sub(before.all);
    if all == 0 { 0.0 } else { after.stolen.saturating_sub(before.stolen) as f64 / all as f64 }
}

fn now() -> Ticks {
    read(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal, and two that are in the first two already.
fn read(stat: &str) -> Ticks {
    let fields = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let fields: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).take(8).collect();
    Ticks { stolen: fields.get(7).copied().unwrap_or_default(), all: fields.iter().sum() }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_is_stolen_is_a_share_of_all() {
        let before = read("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        assert_eq!(before, Ticks { stolen: 35, all: 1000 });
        let after = read("cpu  150 0 70 860 10 0 5 105 9 0\n");
        assert!((share(before, after) - 0.35).abs() < 1e-9);
        assert_eq!(share(after, after), 0.0);
        assert_eq!(read("").all, 0);
    }

    #[test]
    fn the_calmest_of_a_few_is_kept_whatever_it_found() {
        let of = |shares: &[f64]| {
            let mut runs = (1..).zip(shares.iter().copied());
            let calmest = choose("test", 0.01, TRIES_MAX, || runs.next().context("too many")).expect("no run fails");
            (calmest.found, calmest.stolen, calmest.others)
        };
        assert_eq!(of(&[0.01]), (1, 0.01, vec![]));
        assert_eq!(of(&[0.02, 0.0]), (2, 0.0, vec![1]));
        assert_eq!(of(&[0.03, 0.02, 0.04]), (2, 0.02, vec![1, 3]));
        assert_eq!(of(&[0.02, 0.03, 0.02]), (1, 0.02, vec![2, 3]));
    }

    #[test]
    fn a_run_that_fails_is_an_error() {
        let mut runs = [Ok(((), 0.5)), Err(anyhow::anyhow!("no answer"))].into_iter();
        let failed = choose("test", 0.01, TRIES_MAX, || runs.next().context("too many")?);
        assert_eq!(failed.expect_err("the second run fails").to_string(), "no answer");
    }
}
