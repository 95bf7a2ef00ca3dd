//! Runs other programs, with a bound on their time, and never waits for ever.

use std::io::{BufRead, BufReader, Read, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::log::{human, say};

/// How often a program that says nothing is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long output may still come after a program's end, from what it left running.
const STRAY_OUTPUT_MAX: Duration = Duration::from_secs(3);
/// Waits before the second and third try of what needs the network.
const RETRY_WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Runs `command` for at most `wall_max` and hands over its lines, stdout and stderr in the order they were written.
///
/// # Errors
/// When it cannot be started, or when it was ended because its time was over.
pub(crate) fn stream(mut command: Command, wall_max: Duration, line: &mut dyn FnMut(&str)) -> Result<ExitStatus> {
    let what = describe(&command);
    let (reader, writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("could not start {what}"))?;
    // The command holds the pipe's other end; as long as it lives there is no end of the output.
    drop(command);

    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_string();
            if sender.send(text).is_err() {
                return;
            }
            bytes.clear();
        }
    });

    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(POLL) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) if ended.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match ended {
            None => ended = child.try_wait()?.map(|status| (status, Instant::now())),
            Some((_, at)) if at.elapsed() > STRAY_OUTPUT_MAX => {
                say(&format!("note: {what} left a process behind that holds its output"));
                break;
            }
            Some(_) => {}
        }
        if ended.is_none() && started.elapsed() > wall_max {
            end(&mut child);
            bail!("{what} was ended: it ran longer than {}", human(wall_max));
        }
    }
    ended.map(|(status, _)| status).context("the program has not ended")
}

/// What a program wrote and how it ended.
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// All of stdout, as text.
    pub(crate) stdout: String,
    /// All of stderr, as text.
    pub(crate) stderr: String,
}

/// Runs `command` for at most `wall_max` and keeps what it wrote.
///
/// # Errors
/// When it cannot be started, or when it was ended because its time was over.
pub(crate) fn capture(mut command: Command, wall_max: Duration) -> Result<Captured> {
    let what = describe(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("could not start {what}"))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child, wall_max).with_context(|| format!("{what} was ended"))?;
    Ok(Captured { status, stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() })
}

/// Like [`capture`], and a failure of the program is an error that shows what it said.
pub(crate) fn output(command: Command, wall_max: Duration) -> Result<String> {
    let what = describe(&command);
    let captured = capture(command, wall_max)?;
    if !captured.status.success() {
        bail!("{what} failed ({}): {}", captured.status, captured.stderr.trim());
    }
    Ok(captured.stdout)
}

/// Runs `command`, shows its lines, and makes a failure an error.
pub(crate) fn run(command: Command, wall_max: Duration) -> Result<()> {
    let what = describe(&command);
    let status = stream(command, wall_max, &mut |line| eprintln!("    {line}"))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Does what needs the network up to three times.
pub(crate) fn retry<T>(what: &str, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    for wait in RETRY_WAITS {
        match work() {
            Ok(value) => return Ok(value),
            Err(error) => say(&format!("{what}: {error:#}; once more in {}", human(wait))),
        }
        thread::sleep(wait);
    }
    work().with_context(|| format!("{what}: the third try failed too"))
}

/// Waits for `child` for at most `wall_max`, then ends it and all it started.
pub(crate) fn wait(child: &mut Child, wall_max: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > wall_max {
            end(child);
            bail!("it ran longer than {}", human(wall_max));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills `child` and everything that descends from it, and reaps it.
pub(crate) fn end(child: &mut Child) {
    let family = descendants(child.id());
    // Failures mean that a process is already gone.
    let _ = child.kill();
    if !family.is_empty() {
        let ids = family.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
    }
    let _ = child.wait();
}

/// Asks `child` to end by SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
}

fn descendants(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state ppid …`: the name may hold anything, so count from its closing parenthesis.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let mut family = vec![root];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    family.split_off(1)
}

fn read_all(source: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What was read before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let arguments = command.get_args().take(4).map(|argument| argument.to_string_lossy().into_owned());
    let words: Vec<String> = std::iter::once(name).chain(arguments).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_come_in_order() {
        let mut lines = Vec::new();
        let script = "echo one; echo two >&2; printf three; exit 3";
        let status = stream(shell(script), Duration::from_secs(10), &mut |line| lines.push(line.to_string())).unwrap();
        assert_eq!((status.code(), lines.join(",").as_str()), (Some(3), "one,two,three"));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_it_started() {
        let started = Instant::now();
        let mut child = 0;
        let script = "sleep 600 & echo $!; wait";
        let error = stream(shell(script), Duration::from_millis(300), &mut |line| child = line.parse().unwrap());
        assert!(error.unwrap_err().to_string().contains("longer than"));
        assert!(started.elapsed() < Duration::from_secs(60));
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.contains(") Z "),
        };
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(60), "the sleeping child lives on");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = output(shell("echo no such luck >&2; exit 1"), Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("no such luck"), "{error}");
    }
}
