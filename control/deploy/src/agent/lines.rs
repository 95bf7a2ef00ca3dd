//! Lines of instances on their way to the store.

use std::collections::BTreeMap;
use std::time::Duration;

use ignite_core_model::FunctionId;
use ignite_store_meta::{APPEND_LINES_MAX, Bounds, LINE_BYTES_MAX, Line, Meta, MetaError};

use tokio::time::Instant;

use crate::{LogLine, logs_stream};

/// Lines of one app that wait to be written. More are dropped and counted.
const LINES_WAITING_MAX: usize = 10_000;

/// How long a line waits for others: each write is one to disk, whatever it holds.
const WRITTEN_AFTER: Duration = Duration::from_millis(25);

/// How much of an app's lines is kept, beyond the life of the instances that wrote them.
const LOG_BOUNDS: Bounds = Bounds { lines_max: 10_000, bytes_max: 8 << 20 };

/// Bytes of a line that are for what is around its text.
const LINE_FRAME_BYTES: usize = 512;

pub(crate) struct Lines {
    meta: Meta,
    waiting: BTreeMap<FunctionId, Waiting>,
    /// When what waits is written.
    due: Option<Instant>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<Line>,
    dropped: u64,
}

impl Lines {
    pub(crate) fn new(meta: Meta) -> Self {
        Self { meta, waiting: BTreeMap::new(), due: None }
    }

    /// When what waits is to be written.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn push(&mut self, app: &FunctionId, at_ms: u64, mut line: LogLine) {
        self.due.get_or_insert_with(|| Instant::now() + WRITTEN_AFTER);
        let waiting = match self.waiting.get_mut(app) {
            Some(waiting) => waiting,
            None => self.waiting.entry(app.clone()).or_default(),
        };
        if waiting.lines.len() >= LINES_WAITING_MAX {
            waiting.dropped += 1;
            return;
        }
        // A control character takes six bytes in JSON.
        let end = (LINE_BYTES_MAX - LINE_FRAME_BYTES) / 6;
        if line.text.len() > end {
            let end = (0..=end).rev().find(|at| line.text.is_char_boundary(*at)).unwrap_or(0);
            line.text.truncate(end);
        }
        waiting.lines.push(Line { at_ms, body: to_json(&line) });
    }

    /// Writes what waits. What the store does not take stays.
    pub(crate) async fn write(&mut self, now_ms: u64) -> Result<(), MetaError> {
        while let Some((app, waiting)) = self.waiting.iter_mut().next() {
            let app = app.clone();
            if waiting.dropped > 0 && waiting.lines.len() < LINES_WAITING_MAX {
                let text = format!("{} lines were dropped: they came faster than they could be kept", waiting.dropped);
                let line = LogLine { stream: "host".into(), level: "warn".into(), text, ..LogLine::default() };
                let at_ms = waiting.lines.last().map_or(0, |line| line.at_ms);
                waiting.lines.push(Line { at_ms, body: to_json(&line) });
                waiting.dropped = 0;
            }
            let stream = logs_stream(&app);
            while !waiting.lines.is_empty() {
                let count = waiting.lines.len().min(APPEND_LINES_MAX);
                self.meta.append_log(&stream, None, &waiting.lines[..count], &LOG_BOUNDS, now_ms).await?;
                waiting.lines.drain(..count);
            }
            self.waiting.remove(&app);
        }
        self.due = None;
        Ok(())
    }
}

fn to_json(line: &LogLine) -> String {
    serde_json::to_string(line).expect("text has a form in JSON")
}
