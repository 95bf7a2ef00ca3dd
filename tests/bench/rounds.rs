//! Load in interleaved rounds: each contender is started, measured and ended in turn, and then all of them again, so that
//! a slow minute of the machine hits all alike.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::contenders::{Contender, Prepared};
use crate::generator::{self, Handler, Load, Request, histogram};
use crate::options::Options;
use crate::server::Server;
use crate::stolen::{Calmest, TRIES_MAX, calmest};
use crate::tree::{self, Cpu};

/// Where more of the processors' time than this was stolen during one load, it is measured again: what it found is this machine.
/// One clock tick of the shortest load is 1.6 %.
pub(crate) const STOLEN_MAX: f64 = 0.02;

/// One load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) handler: Handler,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

/// What each contender goes through.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Load that is not counted, after each start.
    pub(crate) warm_up: Duration,
    pub(crate) cells: Vec<Cell>,
    /// Most times that a load is measured for which processor time was stolen.
    pub(crate) tries: u32,
}

/// Connections of the cells.
pub(crate) const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// The cell that ratios are taken from.
pub(crate) const STEERED_BY: (Handler, usize) = (Handler::Hello, 64);

impl Plan {
    /// The whole plan, or the quick one, which shows only that all works.
    pub(crate) fn new(options: &Options) -> Self {
        let unit = Duration::from_millis(if options.quick { 20 } else { 100 });
        let time = |handler, connections| match (handler, connections) {
            STEERED_BY => unit * 15,
            (Handler::Hello, _) => unit * 6,
            _ => unit * 3,
        };
        let handlers = [Handler::Hello, Handler::Echo, Handler::Wait];
        let cells = handlers.into_iter().flat_map(|handler| {
            CONNECTIONS.map(|connections| Cell { handler, connections, time: time(handler, connections) })
        });
        let (rounds, tries) = if options.quick { (1, 1) } else { (3, TRIES_MAX) };
        Self { rounds, warm_up: unit * 5, cells: cells.collect(), tries }
    }
}

/// What one cell came to, over all rounds.
pub(crate) struct Figures {
    /// Right answers in a second, each round.
    pub(crate) per_second: Vec<f64>,
    /// All rounds together, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) answers: u64,
    /// Processor time of the process tree.
    pub(crate) cpu: Cpu,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// The greatest share of a core that the generator used.
    pub(crate) generator_share: f64,
    /// The greatest share of the processors' time that was stolen in a round.
    pub(crate) stolen: f64,
    /// Loads that were measured again, in all rounds.
    pub(crate) repeated: usize,
}

impl Figures {
    fn new() -> Self {
        Self {
            per_second: Vec::new(),
            latency: histogram(),
            answers: 0,
            cpu: Cpu::default(),
            errors: 0,
            first_error: None,
            generator_share: 0.0,
            stolen: 0.0,
            repeated: 0,
        }
    }

    /// One round; of those that do not count only what was wrong does.
    fn add(&mut self, calmest: Calmest<(Load, Cpu)>) -> Result<()> {
        let Calmest { found: (load, cpu), stolen, others } = calmest;
        self.stolen = self.stolen.max(stolen);
        self.repeated += others.len();
        for (other, _) in others {
            self.wrong(other.errors, other.first_error);
        }
        self.per_second.push(load.per_second);
        self.latency.add(load.latency)?;
        self.answers += load.answers;
        self.cpu += cpu;
        self.generator_share = self.generator_share.max(load.generator_share);
        self.wrong(load.errors, load.first_error);
        Ok(())
    }

    fn wrong(&mut self, errors: u64, first: Option<String>) {
        self.errors += errors;
        self.first_error = self.first_error.take().or(first);
    }

    /// The median round.
    pub(crate) fn throughput(&self) -> f64 {
        median(&self.per_second).unwrap_or_default()
    }

    /// Throughput as a share of another's: the middle of the rounds' own shares, for what slowed one round slowed both.
    pub(crate) fn share_of(&self, other: &Self) -> Option<f64> {
        let shares = self.per_second.iter().zip(&other.per_second).map(|(own, other)| own / other.max(1.0));
        median(&shares.collect::<Vec<_>>())
    }

    /// The slowest round.
    pub(crate) fn least(&self) -> f64 {
        self.per_second.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The fastest round.
    pub(crate) fn most(&self) -> f64 {
        self.per_second.iter().copied().fold(0.0, f64::max)
    }

    /// In microseconds.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Processor time for one answer, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.all * 1e6 / self.answers.max(1) as f64
    }

    /// Of it in the first process, in microseconds.
    pub(crate) fn cpu_first_us(&self) -> f64 {
        self.cpu.first * 1e6 / self.answers.max(1) as f64
    }
}

/// What a contender came to.
pub(crate) struct Measured {
    /// In the order of the plan's cells.
    pub(crate) cells: Vec<Figures>,
    /// The most that its process tree used at the end of a load, by shares, in bytes.
    pub(crate) memory_peak_bytes: u64,
}

impl Measured {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { cells: plan.cells.iter().map(|_| Figures::new()).collect(), memory_peak_bytes: 0 }
    }

    /// One round of the plan.
    ///
    /// # Errors
    /// When the contender cannot be started, or takes no connections.
    pub(crate) fn round(&mut self, plan: &Plan, contender: &Contender, prepared: &Prepared) -> Result<()> {
        let server = Server::start(contender, prepared)?;
        let request = |handler| Request::new(handler, contender.dialect, contender.answers);
        generator::run(&server.address, &request(Handler::Hello), 16, plan.warm_up, &mut || {})?;
        for (cell, figures) in plan.cells.iter().zip(&mut self.cells) {
            let calmest = calmest(contender.name, STOLEN_MAX, plan.tries, || {
                let cpu_before = tree::cpu(server.pid());
                let mut memory_bytes = 0;
                // With the connections still open, and not while the clock runs: the kernel walks all pages for it.
                let mut at_end = || memory_bytes = tree::memory_bytes(server.pid());
                let request = request(cell.handler);
                let load = generator::run(&server.address, &request, cell.connections, cell.time, &mut at_end)?;
                self.memory_peak_bytes = self.memory_peak_bytes.max(memory_bytes);
                Ok((load, tree::cpu(server.pid()) - cpu_before))
            })?;
            figures.add(calmest)?;
        }
        Ok(())
    }

    /// The figures of a cell.
    pub(crate) fn cell<'a>(&'a self, plan: &Plan, handler: Handler, connections: usize) -> Option<&'a Figures> {
        let is_it = |cell: &Cell| cell.handler == handler && cell.connections == connections;
        self.cells.get(plan.cells.iter().position(is_it)?).filter(|figures| figures.answers > 0)
    }

    /// How many loads count.
    pub(crate) fn loads(&self) -> usize {
        self.cells.iter().map(|figures| figures.per_second.len()).sum()
    }

    /// All that went wrong, and the first of it.
    pub(crate) fn errors(&self) -> (u64, Option<&str>) {
        let count = self.cells.iter().map(|figures| figures.errors).sum();
        (count, self.cells.iter().find_map(|figures| figures.first_error.as_deref()))
    }
}

/// The middle one; of an even number the greater of the two.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_round_of_the_machine_changes_no_share() {
        let of = |per_second: &[f64]| Figures { per_second: per_second.to_vec(), ..Figures::new() };
        let (own, other) = (of(&[50.0, 5.0, 60.0]), of(&[100.0, 10.0, 120.0]));
        assert_eq!(own.share_of(&other), Some(0.5));
        assert_eq!((own.throughput(), own.least(), own.most()), (50.0, 5.0, 60.0));
        assert_eq!(own.share_of(&of(&[])), None);
    }

    #[test]
    fn what_was_wrong_counts_where_nothing_else_does() {
        let load = |per_second, errors, first: &str| Load {
            per_second,
            answers: 1,
            latency: histogram(),
            errors,
            first_error: (errors > 0).then(|| first.to_owned()),
            generator_share: 0.5,
        };
        let mut figures = Figures::new();
        let found = (load(9.0, 0, ""), Cpu::default());
        let others = vec![(load(5.0, 2, "status 500"), Cpu::default()), (load(1.0, 1, "no answer"), Cpu::default())];
        figures.add(Calmest { found, stolen: 0.01, others }).expect("histograms of one kind add up");
        assert_eq!(
            (&figures.per_second[..], figures.answers, figures.repeated, figures.stolen),
            (&[9.0][..], 1, 2, 0.01)
        );
        assert_eq!((figures.errors, figures.first_error.as_deref()), (3, Some("status 500")));
    }
}
