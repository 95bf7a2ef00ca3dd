//! How the command speaks: results to stdout, everything else to stderr, progress only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::Output;
use crate::exit::{CliError, Exit};

/// Where a command's words go.
pub struct Ui {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Whether stderr is a terminal, and so progress may be drawn.
    terminal: bool,
    output: Output,
    quiet: bool,
    spinner: Option<ProgressBar>,
}

impl Ui {
    /// Speaks through the process's own stdout and stderr.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            terminal: io::stderr().is_terminal(),
            output: Output::Table,
            quiet: false,
            spinner: None,
        }
    }

    /// Speaks into two buffers, never to a terminal.
    #[must_use]
    pub fn of_writers(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { out, err, terminal: false, output: Output::Table, quiet: false, spinner: None }
    }

    pub(crate) fn configure(&mut self, output: Output, quiet: bool) {
        self.output = output;
        self.quiet = quiet;
    }

    /// Whether only results and errors are to be said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a result: `table` draws it for people, the other forms are its serialisation.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn result<T: Serialize>(&mut self, value: &T, table: impl FnOnce(&T, bool) -> String) -> Result<(), CliError> {
        self.stop_spinner();
        let text = match self.output {
            Output::Table => table(value, false),
            Output::Wide => table(value, true),
            Output::Json => serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))?,
            Output::Yaml => serde_yaml_ng::to_string(value).map_err(|error| unprintable(&error))?,
        };
        self.bytes(text.trim_end().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Prints one of many results that come one after the other: for programs each on a line of its own.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub(crate) fn item<T: Serialize>(&mut self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        let mut text = match self.output {
            Output::Table | Output::Wide => text(value),
            Output::Json => serde_json::to_string(value).map_err(|error| unprintable(&error))?,
            Output::Yaml => {
                let text = serde_yaml_ng::to_string(value).map_err(|error| unprintable(&error))?;
                format!("---\n{}", text.trim_end())
            }
        };
        text.push('\n');
        match &self.spinner {
            Some(spinner) => {
                let spinner = spinner.clone();
                spinner.suspend(|| self.bytes(text.as_bytes()))
            }
            None => self.bytes(text.as_bytes()),
        }
    }

    /// Whether results are for people.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.output, Output::Table | Output::Wide)
    }

    /// Whether a person sits at a terminal and can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.terminal && io::stdin().is_terminal()
    }

    /// Asks the person for one line.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<String> {
        self.stop_spinner();
        write!(self.err, "{question} ")?;
        self.err.flush()?;
        let mut line = String::new();
        io::BufRead::read_line(&mut io::stdin().lock(), &mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Asks the person for one line that is not shown.
    pub(crate) fn ask_secret(&mut self, question: &str) -> io::Result<String> {
        self.stop_spinner();
        write!(self.err, "{question} ")?;
        self.err.flush()?;
        console::Term::stderr().read_secure_line()
    }

    /// Writes bytes to stdout as they are.
    ///
    /// # Errors
    /// When stdout cannot be written to; a reader that has gone away ends the command quietly.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            // As `| head` does: whoever read has read enough.
            io::ErrorKind::BrokenPipe => CliError::silent(Exit::Done),
            _ => CliError::new(Exit::Failed, "could not write the result to standard output").caused_by(&error),
        })
    }

    /// Says a line to the person, unless told to be quiet.
    pub fn say(&mut self, line: &str) {
        if !self.quiet {
            self.line(line);
        }
    }

    /// Shows on a terminal that a step runs; elsewhere [`Ui::done`] says it when it has.
    pub fn step(&mut self, step: &str) {
        if self.quiet || !self.terminal {
            return;
        }
        let spinner = self.spinner.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        spinner.set_message(step.to_owned());
    }

    /// Says that a step is done; on a terminal the next step's spinner tells enough.
    pub fn done(&mut self, step: &str) {
        if !self.terminal {
            self.say(step);
        }
    }

    /// Ends the spinner, if one turns.
    pub fn stop_spinner(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// Prints a failure in full and tells how the process ends.
    pub fn fail(&mut self, error: &CliError) -> Exit {
        self.stop_spinner();
        if let Some(report) = &error.report {
            if !report.is_empty() {
                self.line(report);
            }
            return error.exit;
        }
        self.line(&format!("error: {}", error.what));
        for cause in &error.causes {
            for (index, line) in cause.trim_end().lines().enumerate() {
                self.line(&format!("{}{line}", if index == 0 { "  cause: " } else { "         " }));
            }
        }
        if let Some(hint) = &error.hint {
            self.line(&format!("hint: {hint}"));
        }
        error.exit
    }

    /// Prints what clap says: help and version to stdout, misuse to stderr.
    pub(crate) fn usage(&mut self, said: &clap::Error) -> Exit {
        let text = said.render().to_string();
        if said.use_stderr() {
            let _ = self.err.write_all(text.as_bytes());
            Exit::InvalidArgument
        } else {
            let _ = self.out.write_all(text.as_bytes());
            Exit::Done
        }
    }

    fn line(&mut self, line: &str) {
        // Nobody is left to tell when stderr itself is gone.
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| drop(writeln!(self.err, "{line}"))),
            None => drop(writeln!(self.err, "{line}")),
        }
    }
}

fn unprintable(error: &dyn std::error::Error) -> CliError {
    CliError::new(Exit::Internal, "could not print the result in this form").caused_by(error)
}

/// Draws rows below a heading, in columns as wide as their widest cell.
#[must_use]
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([heading[column].chars().count()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let draw = |cells: &mut dyn Iterator<Item = &str>| {
        let line: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", line.join("  ").trim_end())
    };
    let mut text = draw(&mut heading.iter().copied());
    for row in rows {
        text.push_str(&draw(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A size as people read it: `612 B`, `7.4 kB`, `1.2 MB` (powers of 1000).
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A time as people read it: `38 ms`, `2.4 s`.
#[must_use]
pub fn time(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(1) {
        format!("{} ms", elapsed.as_millis())
    } else {
        format!("{:.1} s", elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was said, readable while the [`Ui`] still has it.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader has gone away.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Said {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let err = Said::default();
        let mut ui = Ui::of_writers(Box::new(Said::default()), Box::new(err.clone()));
        ui.configure(Output::Table, true);
        ui.say("not when quiet");
        let error = CliError::new(Exit::NotFound, "could not do it").because("one\ntwo").because("three").hint("try");
        assert_eq!(ui.fail(&error), Exit::NotFound);
        assert_eq!(err.text(), "error: could not do it\n  cause: one\n         two\n  cause: three\nhint: try\n");
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_failure() {
        let err = Said::default();
        let mut ui = Ui::of_writers(Box::new(Broken), Box::new(err.clone()));
        let gone = ui.bytes(b"x").unwrap_err();
        assert_eq!(ui.fail(&gone), Exit::Done);
        assert_eq!(err.text(), "");
    }

    #[test]
    fn progress_is_one_line_a_step_where_there_is_no_terminal() {
        let err = Said::default();
        let mut ui = Ui::of_writers(Box::new(Said::default()), Box::new(err.clone()));
        ui.step("build");
        ui.done("build 3 ms");
        assert_eq!(err.text(), "build 3 ms\n");
    }

    #[test]
    fn figures_and_tables_are_read_by_people() {
        assert_eq!([size(999), size(7_400), size(1_250_000)], ["999 B", "7.4 kB", "1.2 MB"]);
        assert_eq!([time(Duration::from_millis(38)), time(Duration::from_millis(2_400))], ["38 ms", "2.4 s"]);
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X    Y\na    long\nbcd\n");
    }
}
