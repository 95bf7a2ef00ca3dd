//! Runs a step and hands on its lines.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::{Lines, Then};
use crate::step::{Bound, Cancel, Exit, Finished, Place, Step, StepError, Stream};
use crate::{contained, open};

/// A process that was started. Dropping it kills it.
pub(crate) trait Running {
    /// Its end, if it has ended. Whatever it left running in its group is killed before this answers.
    fn try_exit(&mut self) -> Result<Option<Exit>, StepError>;
    /// Kills it and everything it started.
    fn kill(&mut self);
    /// Which bound it has reached, if it is time to look.
    fn look(&mut self, _now: Instant) -> Option<Bound> {
        None
    }
    /// Which bound it had reached when it ended.
    fn last_look(&mut self) -> Option<Bound> {
        None
    }
}

/// One end of a pipe.
pub(crate) type Pipe = Box<dyn Read + Send>;

/// Lines between the readers and the loop.
const LINES_WAITING_MAX: usize = 256;
/// How often the loop looks for the end, the time limit and the wish to stop while no line comes.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long lines may still come after the process has ended: someone else may hold the pipe.
const AFTER_END: Duration = Duration::from_secs(1);

/// Runs `step` to its end and calls `on_line` with every line it writes, as it writes it, without escape codes.
///
/// This blocks. When it returns or unwinds, no process of the step is left.
///
/// # Errors
/// When the step could not be started, ran too long, or was cancelled. A step that fails by itself is not an error
/// here: see [`Finished::exit`].
pub fn run(step: &Step, cancel: &Cancel, on_line: &mut dyn FnMut(Stream, &str)) -> Result<Finished, StepError> {
    let started = Instant::now();
    let (mut process, stdout, stderr) = match &step.place {
        Place::Open => open::start(step)?,
        Place::Sandbox(sandbox) => contained::start(step, sandbox)?,
    };
    let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
    let flood = Arc::new(Flood::default());
    let max = step.limits.line_bytes_max;
    let readers = [(stdout, Stream::Stdout), (stderr, Stream::Stderr)].map(|(pipe, stream)| {
        let (sender, flood) = (sender.clone(), Arc::clone(&flood));
        thread::spawn(move || read_lines(pipe, stream, max, &sender, &flood))
    });
    drop(sender);

    let mut gate = Gate { lines_left: step.limits.lines_max, bytes_left: step.limits.output_bytes_max, dropped: 0 };
    let exit = wait(step, cancel, process.as_mut(), &receiver, started, &mut |stream, line| {
        if gate.admits(&line) {
            on_line(stream, &line);
        } else {
            flood.began.store(true, Ordering::Relaxed);
        }
    })?;
    drop(receiver);
    // They are at their end, unless someone else holds the pipe.
    for reader in readers.into_iter().filter(thread::JoinHandle::is_finished) {
        let _ = reader.join();
    }
    let dropped = gate.dropped + flood.lines.load(Ordering::Relaxed);
    Ok(Finished { exit, elapsed: started.elapsed(), lines_dropped: dropped })
}

/// What comes after the last line that is handed on: only its lines are counted, without being looked at.
#[derive(Default)]
struct Flood {
    began: AtomicBool,
    lines: AtomicUsize,
}

/// Ends when the pipe closes or nobody listens any more.
fn read_lines(pipe: Pipe, stream: Stream, line_bytes_max: usize, sender: &SyncSender<(Stream, String)>, flood: &Flood) {
    let counted = Lines::new(pipe, line_bytes_max).for_each(|line| {
        if sender.send((stream, line)).is_err() {
            Then::Stop
        } else if flood.began.load(Ordering::Relaxed) {
            Then::Count
        } else {
            Then::More
        }
    });
    flood.lines.fetch_add(counted, Ordering::Relaxed);
}

fn wait(
    step: &Step,
    cancel: &Cancel,
    process: &mut dyn Running,
    lines: &Receiver<(Stream, String)>,
    started: Instant,
    on_line: &mut dyn FnMut(Stream, String),
) -> Result<Exit, StepError> {
    let mut ended: Option<(Exit, Instant)> = None;
    let mut open = true;
    let mut looked = started;
    loop {
        if open {
            match lines.recv_timeout(LOOK_EVERY) {
                Ok((stream, line)) => on_line(stream, line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else if ended.is_none() {
            // Both pipes are closed; the process itself ends any moment now.
            thread::sleep(Duration::from_micros(200));
        }
        let now = Instant::now();
        if let Some((exit, at)) = ended {
            if !open || now.duration_since(at) > AFTER_END {
                return Ok(exit);
            }
            continue;
        }
        // A flood of lines must not cost a system call each.
        if open && now.duration_since(looked) < LOOK_EVERY {
            continue;
        }
        looked = now;
        if cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        if now.duration_since(started) > step.limits.wall_time {
            return Err(StepError::TimedOut { limit: step.limits.wall_time });
        }
        if let Some(bound) = process.look(now) {
            process.kill();
            return Err(StepError::Exceeded(bound));
        }
        ended = process.try_exit()?.map(|exit| (exit, now));
        if let Some((exit, _)) = ended
            && !exit.success()
            && let Some(bound) = process.last_look()
        {
            return Err(StepError::Exceeded(bound));
        }
    }
}

/// Counts down what may still be handed on.
struct Gate {
    lines_left: usize,
    bytes_left: usize,
    dropped: usize,
}

impl Gate {
    fn admits(&mut self, line: &str) -> bool {
        if self.lines_left == 0 || self.bytes_left < line.len() {
            // Once closed it stays closed, so that no later line seems to follow an earlier one directly.
            self.lines_left = 0;
            self.dropped += 1;
            return false;
        }
        self.lines_left -= 1;
        self.bytes_left -= line.len();
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::step::StepLimits;

    fn shell(script: &str) -> Step {
        Step {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("WORD".into(), "seen".into())],
            cwd: "/".into(),
            place: Place::Open,
            limits: StepLimits { wall_time: Duration::from_secs(20), ..StepLimits::default() },
        }
    }

    fn collect(step: &Step) -> (Result<Finished, StepError>, Vec<String>) {
        let mut lines = Vec::new();
        let done = run(step, &Cancel::default(), &mut |_, line| lines.push(line.to_owned()));
        (done, lines)
    }

    #[test]
    fn lines_of_both_streams_and_the_exit_code_arrive() {
        let (done, lines) = collect(&shell("echo $WORD $HOME; exit 3"));
        assert_eq!(done.unwrap().exit, Exit::Code(3));
        assert_eq!(lines, ["seen"], "nothing but the given environment");
        let (done, lines) = collect(&shell("echo to-stderr >&2; kill -9 $$"));
        assert_eq!(done.unwrap().exit, Exit::Signal(9));
        assert_eq!(lines, ["to-stderr"]);
    }

    #[test]
    fn output_is_bounded_and_the_rest_is_counted() {
        let mut step = shell("i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); done");
        step.limits.lines_max = 10;
        let (done, lines) = collect(&step);
        assert_eq!((done.unwrap().lines_dropped, lines.len()), (90, 10));
    }

    #[test]
    fn the_time_limit_kills_the_whole_group() {
        let mut step = shell("sleep 1000 & echo $!; wait");
        step.limits.wall_time = Duration::from_millis(300);
        let (done, lines) = collect(&step);
        assert!(matches!(done, Err(StepError::TimedOut { .. })));
        gone(&lines[0]);
    }

    #[test]
    fn what_a_step_leaves_running_is_killed() {
        let (done, lines) = collect(&shell("sleep 1000 & echo $!; exit 0"));
        assert!(done.unwrap().exit.success());
        gone(&lines[0]);
    }

    #[test]
    fn a_cancelled_step_ends() {
        let cancel = Cancel::default();
        let done = run(&shell("echo started; sleep 1000"), &cancel, &mut |_, _| cancel.cancel());
        assert!(matches!(done, Err(StepError::Cancelled)));
    }

    #[test]
    fn a_missing_program_is_named() {
        let step = Step { program: "/nowhere/tool".into(), ..shell("") };
        assert_eq!(collect(&step).0.unwrap_err().to_string(), "could not start /nowhere/tool");
    }

    /// Waits, with a bound, until no living process has this number.
    fn gone(pid: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = state.rsplit(')').next().unwrap_or_default().trim().to_owned();
            if state.is_empty() || state.starts_with('Z') {
                return;
            }
            assert!(Instant::now() < deadline, "process {pid} still runs: {state}");
            thread::yield_now();
        }
    }
}
