//! What is timed too closely for other tests to run beside it: one test, in a program of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::clocks::{Clocks, STUBBORN};

/// How long anything may take that should be done at once.
const SOON: Duration = Duration::from_secs(10);
/// How late an answer at a limit may be, over what the machine itself is late. The bound is three times the aim.
const LATE_MS_MAX: f64 = 15.0;
/// Part of each core that others use while it is measured.
const LOAD: f64 = 0.8;
/// One turn of that load.
const TURN: Duration = Duration::from_millis(10);
/// Rounds of each handler. Of 204 in all, two may be later than the 99th percentile.
const ROUNDS: usize = 34;
/// Rounds that are measured again because the machine itself was late by more than is asked of the host: its processors are
/// stolen at times. Those beyond count as they are.
const DISTURBED_MAX: usize = 60;

/// Keeps every core busy for its part of the time.
struct Load {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let burn = move || {
            while !stop.load(Ordering::Relaxed) {
                let turn = Instant::now();
                while turn.elapsed() < TURN.mul_f64(LOAD) {
                    std::hint::spin_loop();
                }
                thread::sleep(TURN.mul_f64(1.0 - LOAD));
            }
        };
        Self { stop, threads: (0..cores).map(|_| thread::spawn(burn)).collect() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How late this process is woken by its own clock, in milliseconds: what the machine adds to every answer.
fn own_lateness(limit: Duration) -> f64 {
    let until = Instant::now() + limit;
    thread::sleep(limit);
    until.elapsed().as_secs_f64() * 1000.0
}

fn p99(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() * 99).div_ceil(100) - 1]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures, for whoever asks with --nocapture")]
fn an_answer_at_the_limit_is_exact_under_load() {
    const LIMIT: Duration = Duration::from_millis(80);
    let mut clocks = Clocks::serve(&[("IGNITE_TIMEOUT_MS", "80"), ("IGNITE_QUEUE_TIMEOUT_MS", "20000")]).unwrap();
    let mut round = |way| {
        let control = thread::spawn(|| own_lateness(LIMIT));
        let begun = Instant::now();
        let answer = clocks.send(way, "").unwrap().answer().unwrap();
        let took = begun.elapsed();
        answer.error(504, "timeout").unwrap();
        clocks.host.wait_metric("ignite_host_slots_busy", 0.0, SOON).unwrap();
        // The next worker has to be there: a start is not what is measured.
        clocks.host.wait_ready(SOON).unwrap();
        let late = (took.as_secs_f64() - LIMIT.as_secs_f64()) * 1000.0;
        assert!(late > -1.0, "{way} is early: {late:.2} ms");
        (late, control.join().unwrap())
    };
    let _load = Load::start();
    let (mut late, mut own, mut disturbed) = (vec![], vec![], 0);
    for way in STUBBORN {
        for _ in 0..ROUNDS {
            let (mut found, mut machine) = round(way);
            while machine > LATE_MS_MAX && disturbed < DISTURBED_MAX {
                disturbed += 1;
                println!("{way}: {found:.2} ms while this process was late by {machine:.2} ms; once more");
                (found, machine) = round(way);
            }
            late.push(found);
            own.push(machine);
        }
    }
    let (p99_late, p99_own) = (p99(&mut late), p99(&mut own));
    println!("answers are late by {p99_late:.2} ms (p99), this process by {p99_own:.2} ms, {disturbed} rounds anew");
    assert!(p99_late <= LATE_MS_MAX + p99_own, "p99 {p99_late:.2} ms, of which the machine's {p99_own:.2} ms");
    clocks.never_two_at_once().unwrap();
}
