//! `ignite-bench deadlines`: how exact a limit is while the host is busy.
//!
//! Executions that never end by themselves are sent at a steady pace, each with a limit of its own. What the host can serve
//! of quick requests beside them is found by a closed loop; four fifths of it are then offered by an open one, and each
//! answer at a limit is timed where it arrives: at the client, from the moment the request was sent.

mod stuck;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub(crate) use stuck::Sample;

use crate::contenders::{self, Contender, Prepared, Target};
use crate::generator::{self, Handler, Load, Request};
use crate::kit::Kit;
use crate::options::Options;
use crate::report;
use crate::server::Server;
use crate::stolen::{Calmest, TRIES_MAX, calmest};

/// Connections of the quick requests.
const CONNECTIONS: usize = 64;
/// Share of the capacity that is offered.
pub(crate) const OFFERED: f64 = 0.8;
/// Where more of the processors' time than this was stolen, a target is measured again: what is late then is this machine. It is
/// taken in pieces of some milliseconds; with this much they meet far fewer than one limit in a hundred.
pub(crate) const STOLEN_MAX: f64 = 0.001;

/// A target, how its executions never end, and how often one of them is sent.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    target: Target,
    ways: &'static [&'static str],
    /// In a second. Fewer where all executions share a process, which goes with the one that goes on.
    pub(crate) per_second: f64,
}

/// Who is measured.
const SUBJECTS: [Subject; 5] = [
    Subject {
        name: "Python",
        target: Target::Python,
        ways: &["spins", "sleeps_in_c", "hashes_in_c", "catches_everything", "forks_twice", "leaves_its_group"],
        per_second: 8.0,
    },
    Subject { name: "Wasm", target: Target::Wasm, ways: &["spins", "sleeps", "naps"], per_second: 8.0 },
    Subject {
        name: "Go",
        target: Target::Go,
        ways: &["spins", "sleeps", "hashes", "catches_everything", "starts_a_program"],
        per_second: 4.0,
    },
    Subject { name: "Rust", target: Target::Rust, ways: &["spins", "sleeps", "naps"], per_second: 4.0 },
    Subject {
        name: "Deno",
        target: Target::Deno,
        ways: &["spins", "never_answers", "catches_everything"],
        per_second: 2.0,
    },
];

/// How long each part takes.
#[derive(Clone, Copy)]
struct Plan {
    warm_up: Duration,
    capacity: Duration,
    offer: Duration,
}

/// What was found of one target.
pub(crate) struct Found {
    pub(crate) subject: &'static Subject,
    /// Quick requests answered in a second by a closed loop.
    pub(crate) capacity: f64,
    /// The open loop.
    pub(crate) load: Load,
    pub(crate) samples: Vec<Sample>,
}

/// Measures what is asked for and writes the page's part.
///
/// # Errors
/// When the arguments are wrong, a host fails, or the page cannot be written.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if let Some(unknown) =
        options.only.iter().find(|only| !SUBJECTS.iter().any(|subject| subject.name.eq_ignore_ascii_case(only)))
    {
        bail!("there is no target `{unknown}` here");
    }
    let started = Instant::now();
    let work = tempfile::tempdir()?;
    let kit = Kit::new(work.path())?;
    let seconds = |whole: u64, quick: u64| Duration::from_secs(if options.quick { quick } else { whole });
    let plan = Plan { warm_up: seconds(1, 1), capacity: seconds(4, 1), offer: seconds(25, 3) };
    let mut all: Vec<Calmest<Found>> = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| options.only.is_empty() || options.names(subject.name)) {
        crate::say(&format!("deadlines: {}", subject.name));
        let contenders = contenders::all();
        let Some(contender) = contenders.iter().find(|contender| contender.name == subject.name) else { continue };
        let prepared = contenders::deadlines(&kit, subject.target)?;
        all.push(calmest("deadlines", STOLEN_MAX, TRIES_MAX, || measure(subject, plan, contender, &prepared))?);
    }
    let text = report::deadlines::markdown(&all, &options);
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out)?;
        report::page::replace(&out.join("numbers.md"), "deadlines", &text)?;
    }
    crate::print(&text);
    crate::say(&format!("measured in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn measure(subject: &'static Subject, plan: Plan, contender: &Contender, prepared: &Prepared) -> Result<Found> {
    let server = Server::start(contender, prepared)?;
    let request = Request::new(Handler::Hello, contender.dialect, contender.answers);
    generator::run(&server.address, &request, CONNECTIONS, plan.warm_up, &mut || {})?;
    let (capacity, _) = stuck::beside(&server.address, subject, plan.capacity, || {
        generator::run(&server.address, &request, CONNECTIONS, plan.capacity, &mut || {})
    })?;
    let capacity = capacity.per_second;
    let (load, samples) = stuck::beside(&server.address, subject, plan.offer, || {
        generator::offer(&server.address, &request, CONNECTIONS, OFFERED * capacity, plan.offer)
    })?;
    Ok(Found { subject, capacity, load, samples })
}
