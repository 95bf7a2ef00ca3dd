//! One compile under way: runs steps, tells of them, keeps what they write.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ignite_compiler_sandbox::{Cancel, Mount, Phase, Step, StepError, StepLimits, Stream, ToolRoot, run};

use crate::cache::Wait;
use crate::error::{CompileError, REPEATED_LINES_MAX};
use crate::origin::Origin;
use crate::request::CompileEvent;
use crate::sandbox::{Sandboxes, basic_env};

/// Bytes of an answer that one of our own scripts may give.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Under what name the sandbox speaks among the steps.
const SANDBOX: &str = "sandbox";

pub(crate) struct Session<'a> {
    events: &'a mut dyn FnMut(CompileEvent<'_>),
    cancel: &'a Cancel,
    until: Instant,
    limit: Duration,
    log_path: PathBuf,
    log: Option<BufWriter<File>>,
    /// What is replaced in lines: folders of the copy, by what the author calls them.
    replaced: Vec<(String, String)>,
    cached: Vec<String>,
    origins: Vec<Origin>,
    sandboxes: &'a Sandboxes,
    /// Whether the log says what sandbox there is.
    introduced: bool,
}

/// A process to run, before its bounds are known.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    pub(crate) phase: Phase,
    /// Where its tools are.
    pub(crate) root: ToolRoot,
    /// What else it sees.
    pub(crate) mounts: Vec<Mount>,
}

impl Run {
    pub(crate) fn new(phase: Phase, program: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Self {
        let (program, root) = (program.into(), ToolRoot::Machine);
        let folders: Vec<PathBuf> = program.parent().map(PathBuf::from).into_iter().collect();
        let env = basic_env(phase, &folders);
        Self { program, args: Vec::new(), env, cwd: cwd.into(), phase, root, mounts: Vec::new() }
    }

    /// With files or folders it may read.
    pub(crate) fn reads<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.extend(paths.into_iter().map(Mount::read_only));
        self
    }

    /// With programs that it sees and cannot run.
    pub(crate) fn never_runs<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.extend(paths.into_iter().map(Mount::inert));
        self
    }

    /// With folders it may also write to.
    pub(crate) fn writes<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.extend(paths.into_iter().map(Mount::read_write));
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn envs(mut self, pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.env.extend(pairs);
        self
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        events: &'a mut dyn FnMut(CompileEvent<'_>),
        cancel: &'a Cancel,
        limit: Duration,
        log_path: PathBuf,
        sandboxes: &'a Sandboxes,
    ) -> Result<Self, CompileError> {
        let file = File::create(&log_path).map_err(|cause| CompileError::Cache { path: log_path.clone(), cause })?;
        let until = Instant::now() + limit;
        let log = Some(BufWriter::new(file));
        Ok(Self {
            events,
            cancel,
            until,
            limit,
            log_path,
            log,
            replaced: Vec::new(),
            cached: Vec::new(),
            origins: Vec::new(),
            sandboxes,
            introduced: false,
        })
    }

    /// How long to wait for another compile.
    pub(crate) fn wait(&self) -> Wait<'a> {
        Wait { until: self.until, limit: self.limit, cancel: Some(self.cancel) }
    }

    /// From now on, lines show `folder` as `shown`; the longest folder is to be named first.
    pub(crate) fn show(&mut self, folder: &Path, shown: &str) {
        if let Some(folder) = folder.to_str() {
            self.replaced.push((folder.to_owned(), shown.to_owned()));
        }
    }

    /// Notes that the result of a step is at hand.
    pub(crate) fn cached(&mut self, step: &str) {
        self.cached.push(step.to_owned());
        (self.events)(CompileEvent::Started { step });
        (self.events)(CompileEvent::Finished { step, elapsed: Duration::ZERO, cached: true });
    }

    /// Notes where a part of the compile came from, in the log and for the report.
    pub(crate) fn came_from(&mut self, origin: Origin) {
        self.remark(&origin.to_string());
        self.origins.push(origin);
    }

    /// Says something of the compiler's own.
    pub(crate) fn remark(&mut self, line: &str) {
        self.tell("cache", Stream::Stderr, line);
    }

    /// Runs a step whose lines are for the author.
    pub(crate) fn run(&mut self, step: &str, what: &Run) -> Result<(), CompileError> {
        self.run_hinted(step, what, &|_| None)
    }

    /// The same; `hint` may tell from the lines of a failure what to do next.
    pub(crate) fn run_hinted(
        &mut self,
        step: &str,
        what: &Run,
        hint: &dyn Fn(&[String]) -> Option<String>,
    ) -> Result<(), CompileError> {
        let mut last = VecDeque::new();
        let replaced = std::mem::take(&mut self.replaced);
        let done = self.start(step, what, &mut |session, stream, line| {
            let line = shown(line, &replaced);
            session.tell(step, stream, &line);
            if last.len() == REPEATED_LINES_MAX {
                last.pop_front();
            }
            last.push_back(line);
        });
        self.replaced = replaced;
        match done? {
            exit if exit.success() => Ok(()),
            exit => {
                let output: Vec<String> = last.into();
                let hint = hint(&output);
                Err(CompileError::Step { step: step.to_owned(), exit, output, hint, log: self.log_path.clone() })
            }
        }
    }

    /// Runs a step whose standard output is an answer for us; only its standard error is for the author.
    pub(crate) fn ask(&mut self, step: &str, what: &Run) -> Result<String, CompileError> {
        let mut answer = String::new();
        let mut last = Vec::new();
        let done = self.start(step, what, &mut |session, stream, line| {
            if stream == Stream::Stderr {
                session.tell(step, stream, line);
                last.push(line.to_owned());
            } else if answer.len() + line.len() < ANSWER_BYTES_MAX {
                answer.push_str(line);
                answer.push('\n');
            }
        })?;
        if done.success() {
            return Ok(answer);
        }
        Err(CompileError::Step {
            step: step.to_owned(),
            exit: done,
            output: last,
            hint: None,
            log: self.log_path.clone(),
        })
    }

    fn start(
        &mut self,
        step: &str,
        what: &Run,
        on_line: &mut dyn FnMut(&mut Self, Stream, &str),
    ) -> Result<ignite_compiler_sandbox::Exit, CompileError> {
        self.wait().check()?;
        self.introduce()?;
        let what = &self.sandboxes.in_image(what);
        let place = self.sandboxes.place(step, what)?;
        (self.events)(CompileEvent::Started { step });
        let limits = StepLimits {
            wall_time: self.until.saturating_duration_since(Instant::now()),
            line_bytes_max: 64 * 1024,
            ..self.sandboxes.options.limits
        };
        let step_to_run = Step {
            program: what.program.clone(),
            args: what.args.clone(),
            env: what.env.clone(),
            cwd: what.cwd.clone(),
            place,
            limits,
        };
        self.note(&format!("$ {step} ({})", what.phase.as_str()));
        let cancel = self.cancel;
        let done = run(&step_to_run, cancel, &mut |stream, line| on_line(self, stream, line));
        let done = done.map_err(|cause| match cause {
            StepError::TimedOut { .. } => CompileError::TimedOut { limit: self.limit },
            StepError::Cancelled => CompileError::Cancelled,
            StepError::Exceeded(bound) => {
                CompileError::Exceeded { step: step.to_owned(), bound, log: self.log_path.clone() }
            }
            cause => CompileError::Run { step: step.to_owned(), cause },
        })?;
        if done.lines_dropped > 0 {
            self.tell(step, Stream::Stderr, &format!("… and {} more lines", done.lines_dropped));
        }
        self.note(&format!("{step}: {} after {:.1} s", done.exit, done.elapsed.as_secs_f64()));
        if done.exit.success() {
            (self.events)(CompileEvent::Finished { step, elapsed: done.elapsed, cached: false });
        }
        Ok(done.exit)
    }

    /// Whether steps see folders where they are put for them, rather than where they are.
    pub(crate) fn is_sandboxed(&self) -> Result<bool, CompileError> {
        Ok(self.sandboxes.features()?.has_sandbox())
    }

    /// Says once what holds the steps in, and what does not.
    fn introduce(&mut self) -> Result<(), CompileError> {
        if std::mem::replace(&mut self.introduced, true) {
            return Ok(());
        }
        let features = self.sandboxes.features()?;
        self.note(&format!("sandbox: {}", features.means));
        for missing in &features.missing {
            self.tell(SANDBOX, Stream::Stderr, &format!("warning: {missing}; allowed by --allow-unsandboxed"));
        }
        Ok(())
    }

    fn tell(&mut self, step: &str, stream: Stream, line: &str) {
        self.note(line);
        (self.events)(CompileEvent::Line { step, stream, line });
    }

    /// Keeps a line. A log that cannot be written is no reason to fail a compile, but there is no use in going on.
    pub(crate) fn note(&mut self, line: &str) {
        if self.log.as_mut().is_some_and(|log| writeln!(log, "{line}").is_err()) {
            self.log = None;
        }
    }

    /// Ends the log, and tells which steps were at hand, what came from where, and where the log is.
    pub(crate) fn finish(mut self) -> (Vec<String>, Vec<Origin>, PathBuf) {
        if let Some(log) = &mut self.log {
            let _ = log.flush();
        }
        (self.cached, self.origins, self.log_path)
    }
}

fn shown(line: &str, replaced: &[(String, String)]) -> String {
    let mut line = line.to_owned();
    for (folder, name) in replaced {
        if line.contains(folder.as_str()) {
            line = line.replace(&format!("file://{folder}/"), name).replace(&format!("{folder}/"), name);
            let bare = if name.is_empty() { "." } else { name.trim_end_matches('/') };
            line = line.replace(folder.as_str(), bare);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_files_as_the_author_does() {
        let replaced = [("/c/work/app".to_owned(), String::new()), ("/c/work/sdk".to_owned(), "ignite/".to_owned())];
        for (line, expected) in [
            ("    at file:///c/work/app/main.ts:1:2", "    at main.ts:1:2"),
            ("/c/work/app/src/lib.rs:3 and /c/work/sdk/mod.ts", "src/lib.rs:3 and ignite/mod.ts"),
            ("Compiling hello (/c/work/app)", "Compiling hello (.)"),
            ("/c/work/other", "/c/work/other"),
        ] {
            assert_eq!(shown(line, &replaced), expected);
        }
    }
}
