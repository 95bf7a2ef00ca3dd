//! Processor time that the machine below a virtual one kept for others.

use std::fs;

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
}
