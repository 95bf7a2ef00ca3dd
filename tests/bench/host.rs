//! `ignite-bench host`: all contenders, the same load, the same starts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cold::{self, Starts, Times};
use crate::contenders::{self, Contender, Prepared, Standing, Target};
use crate::idle::{self, Idle};
use crate::kit::Kit;
use crate::options::Options;
use crate::report;
use crate::rounds::{Measured, Plan};
use crate::stolen::Meter;
use crate::warm::{self, Warm};
use crate::workers;

/// A contender and what came of it.
pub(crate) struct Outcome {
    pub(crate) contender: Contender,
    pub(crate) version: String,
    /// Why there are no figures, or not all of them.
    pub(crate) missing: Option<String>,
    pub(crate) measured: Measured,
    pub(crate) starts: Starts,
    /// Only of this product.
    pub(crate) idle: Option<Idle>,
    /// Milliseconds from SIGKILL of its worker to the next answer, straight after the host's first one; only of this product's
    /// worker processes.
    pub(crate) replace_ms: Vec<f64>,
    /// The same once the host has been up for [`workers::UP`].
    pub(crate) replace_up_ms: Vec<f64>,
    /// A host that was up before it knew its app; only of this product.
    pub(crate) warm: Option<Result<Warm, String>>,
}

/// The figures of Python's forked workers.
#[derive(Default)]
pub(crate) struct Forks {
    /// Milliseconds to the first answer of a further worker.
    pub(crate) fork_ms: Vec<f64>,
    /// Private bytes of each worker, for the handler that imports pydantic.
    pub(crate) private_bytes: Vec<u64>,
    /// What could not be measured.
    pub(crate) missing: Vec<String>,
}

/// Everything that was measured.
pub(crate) struct Results {
    pub(crate) plan: Plan,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) forks: Option<Forks>,
    /// Interpreters with an empty program: name and milliseconds.
    pub(crate) bare_ms: Vec<(&'static str, f64)>,
    /// The share of the processors' time that was stolen meanwhile, from 0 to 1.
    pub(crate) stolen: f64,
}

impl Results {
    /// One contender's outcome, where it was asked for.
    pub(crate) fn of(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.contender.name == name)
    }
}

/// Measures what is asked for and writes the page and its charts.
///
/// # Errors
/// When the arguments are wrong or the page cannot be written. A contender that fails is a row that says so.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let started = Instant::now();
    let work = tempfile::tempdir()?;
    let kit = Kit::new(work.path())?;
    let results = measure(&options, &kit)?;
    let text = report::host::markdown(&results, &options);
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out)?;
        report::page::replace(&out.join("numbers.md"), "host", &text)?;
        for (name, svg) in report::host::charts(&results) {
            std::fs::write(out.join(name), svg)?;
        }
    }
    crate::print(&text);
    crate::say(&format!("measured in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn measure(options: &Options, kit: &Kit) -> Result<Results> {
    let plan = Plan::new(options);
    let (mut outcomes, mut prepared) = prepare(options, kit, &plan)?;
    let meter = Meter::begin();
    for round in 0..plan.rounds {
        for (outcome, prepared) in present(&mut outcomes, &mut prepared) {
            crate::say(&format!("load, round {} of {}: {}", round + 1, plan.rounds, outcome.contender.name));
            let result = outcome.measured.round(&plan, &outcome.contender, prepared);
            outcome.note("load", result);
        }
    }
    let times = Times::new(options);
    let bare_ms = bare_interpreters(kit, times.warm);
    for round in 0..times.warm + times.cold {
        crate::say(&format!("starts, round {} of {}", round + 1, times.warm + times.cold));
        for (outcome, prepared) in present(&mut outcomes, &mut prepared) {
            let cold = round >= times.warm;
            let bare = bare_ms.iter().find(|(name, _)| *name == outcome.contender.name).map(|(_, ms)| *ms);
            let result = cold::start(&outcome.contender, prepared, cold, bare);
            let starts = if cold { &mut outcome.starts.cold } else { &mut outcome.starts.warm };
            let result = result.map(|start| starts.push(start));
            outcome.note("start", result);
        }
    }
    let mut forks = None;
    for (outcome, prepared) in present(&mut outcomes, &mut prepared) {
        let Some(target) = Target::of(outcome.contender.name) else { continue };
        crate::say(&format!("idle, workers and warm hosts: {}", outcome.contender.name));
        let result = idle::measure(&outcome.contender, prepared, times.warm.min(5));
        let result = result.map(|idle| outcome.idle = Some(idle));
        outcome.note("idle", result);
        if !matches!(target, Target::Wasm | Target::WasiHttp) {
            for _ in 0..times.warm {
                for up in [Duration::ZERO, workers::UP] {
                    let result = workers::replace(&outcome.contender, prepared, target, up);
                    let times = if up.is_zero() { &mut outcome.replace_ms } else { &mut outcome.replace_up_ms };
                    let result = result.map(|ms| times.push(ms));
                    outcome.note("replaced worker", result);
                }
            }
        }
        outcome.warm =
            Some(warm::measure(&outcome.contender, prepared, target, times.warm).map_err(|e| format!("{e:#}")));
        if target == Target::Python {
            forks = Some(measure_forks(kit, &outcome.contender, prepared, times));
        }
    }
    Ok(Results { plan, outcomes, forks, bare_ms, stolen: meter.share() })
}

/// Those that are asked for, installed where that is possible.
fn prepare(options: &Options, kit: &Kit, plan: &Plan) -> Result<(Vec<Outcome>, Vec<Option<Prepared>>)> {
    let all = contenders::all();
    if let Some(unknown) =
        options.only.iter().find(|only| !all.iter().any(|known| known.name.eq_ignore_ascii_case(only)))
    {
        let known: Vec<&str> = all.iter().map(|contender| contender.name).collect();
        bail!("there is no contender `{unknown}`; there are {}", known.join(", "));
    }
    let (mut outcomes, mut prepared) = (Vec::new(), Vec::new());
    for contender in all {
        let asked =
            if options.only.is_empty() { contender.place != Standing::Absent } else { options.names(contender.name) };
        if !asked {
            continue;
        }
        let (found, missing) = match (contender.prepare)(kit) {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        if let Some(reason) = &missing {
            crate::say(&format!("missing: {}: {reason}", contender.name));
        }
        outcomes.push(Outcome {
            contender,
            version: found.as_ref().map(|found| found.version.clone()).unwrap_or_default(),
            missing,
            measured: Measured::new(plan),
            starts: Starts::default(),
            idle: None,
            replace_ms: Vec::new(),
            replace_up_ms: Vec::new(),
            warm: None,
        });
        prepared.push(found);
    }
    Ok((outcomes, prepared))
}

/// Those that are there and have not failed.
fn present<'a>(
    outcomes: &'a mut [Outcome],
    prepared: &'a mut [Option<Prepared>],
) -> impl Iterator<Item = (&'a mut Outcome, &'a Prepared)> {
    let pairs = outcomes.iter_mut().zip(prepared);
    pairs
        .filter(|(outcome, _)| outcome.missing.is_none())
        .filter_map(|(outcome, found)| Some((outcome, found.as_ref()?)))
}

impl Outcome {
    /// A failure is a remark in its row, and it is left alone from then on.
    fn note(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            crate::say(&format!("failed: {}: {what}: {error:#}", self.contender.name));
            self.missing.get_or_insert_with(|| format!("{what}: {error:#}"));
        }
    }
}

/// What the interpreters take by themselves, by the names of the contenders that use them.
fn bare_interpreters(kit: &Kit, times: usize) -> Vec<(&'static str, f64)> {
    let python = kit.python().and_then(|python| {
        let bare = || {
            let mut command = Command::new(&python);
            command.args(["-I", "-c", "pass"]);
            command
        };
        cold::bare_ms(&bare, times)
    });
    let deno = kit.deno().and_then(|deno| {
        let empty = kit.source("empty.js", "")?;
        let bare = || {
            let mut command = Command::new(&deno);
            command.args(["run", "--quiet", "--no-config"]).arg(&empty).env("DENO_NO_UPDATE_CHECK", "1");
            command
        };
        cold::bare_ms(&bare, times)
    });
    // Where there is none, those who need it say so in their own rows.
    [("Python", python), ("Deno", deno)].into_iter().filter_map(|(name, ms)| Some((name, ms.ok()?))).collect()
}

fn measure_forks(kit: &Kit, contender: &Contender, prepared: &Prepared, times: Times) -> Forks {
    let mut forks = Forks::default();
    for _ in 0..times.warm {
        match workers::fork(contender, prepared) {
            Ok(ms) => forks.fork_ms.extend(ms),
            Err(error) => forks.missing.push(format!("fork of a worker: {error:#}")),
        }
    }
    let private = contenders::pydantic(kit).and_then(|pydantic| workers::private_bytes(contender, &pydantic));
    match private {
        Ok(bytes) => forks.private_bytes = bytes,
        Err(error) => forks.missing.push(format!("private memory: {error:#}")),
    }
    forks
}
