//! A host process: started, listened to, ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ignite_core_model::{HostAddress, Resources};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::group::Group;
use super::output::{self, Meaning, OUTPUT_LINE_BYTES_MAX};
use super::{Confine, LocalOptions, remove};
use crate::LogLine;

/// Lines of one host that wait to be taken. Beyond it the host's own bound holds: it drops and counts.
const LINES_WAITING_MAX: usize = 256;

/// Lines that are kept for the reason of a host that does not start.
const LAST_LINES_MAX: usize = 20;

/// How long after its drain time a host is killed.
const KILL_AFTER_DRAIN: Duration = Duration::from_secs(2);

/// A host process that listens. Dropped, it is killed, and its folder removed.
pub(super) struct HostProcess {
    child: Child,
    /// Held: the host drains when it is closed.
    _stdin: Option<ChildStdin>,
    pub(super) admin: PathBuf,
    pub(super) address: HostAddress,
    pub(super) lines: mpsc::Receiver<LogLine>,
    // After the process, in the order in which fields are dropped.
    group: Option<Group>,
    _folder: Folder,
}

/// Why a host process does not listen.
pub(super) enum NotStarted {
    /// There is no user namespace for it, and why.
    NoOwnUser(String),
    /// Anything else, for the author.
    Other(String),
}

/// The host's exit code where there is no user namespace for it.
const EXIT_NO_OWN_USER: i32 = 3;

/// How a host is started.
pub(super) struct Start<'a> {
    /// Its own folder, which there is not yet.
    pub(super) folder: PathBuf,
    /// The runtime of its app.
    pub(super) runtime: &'static str,
    /// Limits of its app, where that is known, as variables.
    pub(super) limits: &'a [(String, String)],
    /// Whether it gets a user namespace.
    pub(super) own_user: bool,
}

/// The folder of one host.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// What a host says of its start.
enum Word {
    Listening(HostAddress),
    Warm,
}

impl HostProcess {
    /// Starts a host and waits until it can be given an app.
    pub(super) async fn start(options: &LocalOptions, start: Start<'_>) -> Result<Self, NotStarted> {
        let deadline = Instant::now() + options.start_max;
        let folder = Folder(start.folder.clone());
        let (admin, unpacked) = (admin_socket(&start.folder), work_folder(&start.folder));
        std::fs::create_dir_all(&unpacked)
            .map_err(|error| NotStarted::Other(format!("could not make {}: {error}", unpacked.display())))?;
        let mut child = command(options, &start).spawn().map_err(|error| {
            NotStarted::Other(format!("could not start {}: {error}", options.host_program.display()))
        })?;
        // What it starts is in its group only from then on, and to move it may take as long as a start.
        let pid = child.id().filter(|_| options.confine == Confine::WherePossible);
        let group = pid.map(Group::around);
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            // One that has ended says why itself.
            let _ = stdin.write_all(b"\n").await;
        }
        let (sender, mut lines) = mpsc::channel(LINES_WAITING_MAX);
        let (say, mut words) = mpsc::channel(2);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(follow(stdout, sender.clone(), Some(say)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(follow(stderr, sender, None));
        }
        let (mut address, mut last) = (None, LastLines::default());
        let came = timeout_at(deadline, async {
            loop {
                tokio::select! {
                    biased;
                    word = words.recv() => match word {
                        Some(Word::Listening(at)) => address = Some(at),
                        Some(Word::Warm) => return true,
                        None => return false,
                    },
                    Some(line) = lines.recv() => last.push(&line),
                }
            }
        })
        .await;
        match (came, address) {
            (Ok(true), Some(address)) => {
                Ok(Self { child, _stdin: stdin, admin, address, lines, group, _folder: folder })
            }
            (Err(_), _) => {
                let secs = options.start_max.as_secs_f32();
                Err(NotStarted::Other(last.reason(&format!("the host was not ready for an app within {secs} s"))))
            }
            (Ok(_), _) => {
                // Both streams end with the process.
                let _ = timeout(KILL_AFTER_DRAIN, async {
                    while let Some(line) = lines.recv().await {
                        last.push(&line);
                    }
                })
                .await;
                let ended = end(&mut child).await;
                let reason = last.reason(&format!("the host ended with {ended}"));
                let code = child.try_wait().ok().flatten().and_then(|status| status.code());
                match code == Some(EXIT_NO_OWN_USER) && start.own_user {
                    true => Err(NotStarted::NoOwnUser(reason)),
                    false => Err(NotStarted::Other(reason)),
                }
            }
        }
    }

    /// Its process, until it was waited for.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has not ended.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, in words. It has closed its streams, or is about to.
    pub(super) async fn end(&mut self) -> String {
        end(&mut self.child).await
    }

    /// Holds it to the memory of its app, before it has it.
    pub(super) fn hold_memory(&self, resources: Resources) {
        if let Some(group) = &self.group {
            group.hold_memory(resources);
        }
    }

    /// Holds it to the processor share of its app. Until it is up it may use more: everybody waits for a start.
    pub(super) fn hold_cpu(&self, resources: Resources) {
        if let Some(group) = &self.group {
            group.hold_cpu(resources);
        }
    }

    /// Whether the kernel ended a process of it because memory was used up.
    pub(super) fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(Group::was_out_of_memory)
    }

    /// Asks it to drain.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        // A killed process is gone as soon as the system gets to it.
        let _ = timeout(KILL_AFTER_DRAIN, self.child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that has ended by itself needs none.
            let _ = kill_process(pid, signal);
        }
    }
}

/// When a host that was asked to drain is killed.
pub(super) fn kill_at(options: &LocalOptions) -> Instant {
    Instant::now() + options.drain_max + KILL_AFTER_DRAIN
}

fn admin_socket(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

fn work_folder(folder: &Path) -> PathBuf {
    folder.join("work")
}

fn command(options: &LocalOptions, start: &Start<'_>) -> Command {
    let mut command = Command::new(&options.host_program);
    if start.own_user {
        command.arg("--own-user");
    }
    command
        .args(["--warm", start.runtime, "--start-with-stdin", "--stop-with-stdin"])
        // No port: whatever runs on this machine could call it there, whoever's app it is.
        .arg("--socket")
        .arg(start.folder.join("app.sock"))
        .arg("--admin")
        .arg(HostAddress::Unix(admin_socket(&start.folder)).to_string())
        .arg("--work-dir")
        .arg(work_folder(&start.folder))
        .arg("--cache-dir")
        .arg(&options.cache_dir)
        .env_clear()
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .env("IGNITE_DRAIN_MS", options.drain_max.as_millis().to_string())
        .envs(start.limits.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for this process alone, which lets instances drain.
        .process_group(0)
        .kill_on_drop(true);
    command
}

async fn end(child: &mut Child) -> String {
    match timeout(KILL_AFTER_DRAIN, child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            let _ = child.start_kill();
            "its streams closed".to_owned()
        }
    }
}

/// The lines that say why, the newest of them: not what a host tells of its own course.
#[derive(Default)]
pub(super) struct LastLines(Vec<String>);

impl LastLines {
    pub(super) fn push(&mut self, line: &LogLine) {
        if line.stream == "host" && line.level == "info" {
            return;
        }
        if self.0.len() >= LAST_LINES_MAX {
            self.0.remove(0);
        }
        self.0.push(line.text.clone());
    }

    /// The lines, and `what` below them.
    pub(super) fn reason(&self, what: &str) -> String {
        let mut lines = self.0.clone();
        lines.push(what.to_owned());
        lines.join("\n")
    }
}

/// Reads lines until the stream ends.
async fn follow(stream: impl AsyncRead + Unpin, lines: mpsc::Sender<LogLine>, words: Option<mpsc::Sender<Word>>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line).await {
        let word = match output::read(&line) {
            Meaning::Listening(address) => Word::Listening(address),
            Meaning::Warm => Word::Warm,
            Meaning::Line(line) => {
                // Nobody waits for the lines of this one any more: the stream is read to its end all the same, so that the host
                // never stands still.
                let _ = lines.send(line).await;
                continue;
            }
        };
        if let Some(words) = &words {
            let _ = words.try_send(word);
        }
    }
}

/// Reads one line without its end, at most [`OUTPUT_LINE_BYTES_MAX`] of it; the rest is dropped. False at the end.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    line.clear();
    let mut some = false;
    loop {
        let Ok(buffer) = reader.fill_buf().await else { return some };
        if buffer.is_empty() {
            return some;
        }
        some = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = OUTPUT_LINE_BYTES_MAX - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_line_is_one_line() {
        let long = "x".repeat(OUTPUT_LINE_BYTES_MAX + 10_000);
        let text = format!("one\r\n{long}\ntwo\n\nlast");
        let mut reader = BufReader::new(text.as_bytes());
        let (mut line, mut lengths) = (Vec::new(), Vec::new());
        while read_line(&mut reader, &mut line).await {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, OUTPUT_LINE_BYTES_MAX, 3, 0, 4]);
    }
}
