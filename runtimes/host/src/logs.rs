//! Log lines: made where they arise, written by one thread, and never in anybody's way.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use ignite_core_model::{ExecutionId, FunctionId};
use ignite_runtimes_executor::{LogLine, LogSink, LogSource};

use crate::config::LogFormat;
use crate::traces::{Noted, Traces};

/// Lines that may wait to be written; further ones are dropped and counted.
const LINES_WAITING_MAX: usize = 8192;
/// How long the writer may take to write the rest when the host ends.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Takes lines of the function and of the host.
pub(crate) struct Logs {
    lines: SyncSender<Message>,
    format: LogFormat,
    instance: String,
    started: Instant,
    line_bytes_max: usize,
    per_second_max: u64,
    /// The running second since the start in the upper half, its lines in the lower.
    window: AtomicU64,
    dropped: Arc<AtomicU64>,
    /// Of the executions in hand.
    traces: Arc<Traces>,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Logs {
    /// Writes to stdout.
    pub(crate) fn start(format: LogFormat, instance: String, line_bytes_max: usize, per_second_max: u32) -> Self {
        let (lines, received) = sync_channel(LINES_WAITING_MAX);
        let writer = std::thread::Builder::new().name("log-writer".into());
        let _ = writer.spawn(move || write(&received, &mut std::io::stdout().lock()));
        Self {
            lines,
            format,
            instance,
            started: Instant::now(),
            line_bytes_max,
            per_second_max: per_second_max.into(),
            window: AtomicU64::new(0),
            dropped: Arc::default(),
            traces: Arc::default(),
        }
    }

    /// Lets the lines of an execution name the trace that its request names, until what is returned is dropped.
    pub(crate) fn trace(&self, execution: ExecutionId, headers: &HeaderMap) -> Option<Noted> {
        self.traces.enter(execution, headers)
    }

    /// Writes nowhere.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let logs = Self::start(LogFormat::Json, String::new(), 1024, 1);
        // Nobody receives what is sent from now on.
        Self { lines: sync_channel(1).0, ..logs }
    }

    /// A line of the host itself. `fields` are members of a JSON object.
    pub(crate) fn host(&self, level: &'static str, message: &str, fields: &serde_json::Value) {
        let fields = if fields.is_null() { String::new() } else { fields.to_string() };
        self.send(&LogLine { source: LogSource::Host, level, execution_id: None, message, fields: &fields }, None);
    }

    /// A line of the host itself about one execution; `function` is named where the host has many.
    pub(crate) fn about(
        &self,
        level: &'static str,
        function: Option<&FunctionId>,
        execution_id: ExecutionId,
        message: &str,
    ) {
        let execution_id = Some(execution_id);
        self.send(&LogLine { source: LogSource::Host, level, execution_id, message, fields: "" }, function);
    }

    /// Lines that were dropped because they were too many.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was sent so far is written, for a bounded time. Blocks.
    pub(crate) fn flush(&self) {
        let (done, finished) = sync_channel(1);
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(FLUSH_MAX);
        }
    }

    fn send(&self, line: &LogLine<'_>, function: Option<&FunctionId>) {
        let text = match self.format {
            LogFormat::Json => self.json(line, function),
            LogFormat::Text => self.text(line, function),
        };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Line(text)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn json(&self, line: &LogLine<'_>, function: Option<&FunctionId>) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + line.message.len() + line.fields.len());
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        // Writing into a vector cannot fail.
        let _ = write!(out, r#"{{"time":"{time}","level":"{}","stream":"{}""#, line.level, stream(line.source));
        member(&mut out, "instance", &self.instance);
        if let Some(function) = function {
            member(&mut out, "function_id", function.as_str());
        }
        if let Some(id) = line.execution_id {
            let _ = write!(out, r#","execution_id":"{id}""#);
            if let Some(trace) = self.traces.find(id) {
                let _ = write!(out, r#","trace_id":"{trace}""#);
            }
        }
        member(&mut out, "message", &self.cut(line.message));
        further(&mut out, line.fields);
        out.extend_from_slice(b"}\n");
        out
    }

    fn text(&self, line: &LogLine<'_>, function: Option<&FunctionId>) -> Vec<u8> {
        let mut text = function.map(|function| format!("{function}: ")).unwrap_or_default();
        if line.source != LogSource::Stdout {
            text.push_str(line.level);
            text.push(' ');
        }
        text.push_str(&self.cut(line.message));
        if !line.fields.is_empty() {
            text.push(' ');
            text.push_str(line.fields);
        }
        text.push('\n');
        text.into_bytes()
    }

    /// The message within the length limit; what was cut away is told.
    fn cut<'a>(&self, message: &'a str) -> std::borrow::Cow<'a, str> {
        if message.len() <= self.line_bytes_max {
            return message.into();
        }
        let end = message.floor_char_boundary(self.line_bytes_max);
        format!("{}… ({} bytes cut)", &message[..end], message.len() - end).into()
    }

    /// Whether one more line is within the rate limit that `window` keeps.
    fn within_rate(&self, window: &AtomicU64) -> bool {
        let second = self.started.elapsed().as_secs() & u64::from(u32::MAX);
        let count = |window: u64| {
            let seen = if window >> 32 == second { window & u64::from(u32::MAX) } else { 0 };
            (seen < self.per_second_max).then_some((second << 32) | (seen + 1))
        };
        window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }
}

impl LogSink for Logs {
    fn line(&self, line: LogLine<'_>) {
        // The function's own lines are limited in rate, the host's are few.
        if line.source == LogSource::Host || self.within_rate(&self.window) {
            self.send(&line, None);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The lines of one app of many. Each names its app, and each app has the rate limit for itself: what one prints costs no
/// line of another.
pub(crate) struct AppLogs {
    pub(crate) logs: Arc<Logs>,
    pub(crate) function: FunctionId,
    /// As in [`Logs`].
    pub(crate) window: AtomicU64,
    /// Counts lines that were too many.
    pub(crate) counts: Arc<crate::multi::Counts>,
}

impl LogSink for AppLogs {
    fn line(&self, line: LogLine<'_>) {
        if line.source == LogSource::Host || self.logs.within_rate(&self.window) {
            self.logs.send(&line, Some(&self.function));
        } else {
            self.counts.lines_dropped.fetch_add(1, Ordering::Relaxed);
            self.logs.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn stream(source: LogSource) -> &'static str {
    match source {
        LogSource::Stdout => "stdout",
        LogSource::Stderr => "stderr",
        LogSource::Logger => "logger",
        LogSource::Host => "host",
    }
}

fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    let _ = write!(out, r#","{name}":"#);
    let _ = serde_json::to_writer(&mut *out, text);
}

/// Names the host itself writes; a field of the same name stands below `fields` instead, so that no record can pretend
/// to be another's.
const OWN_NAMES: [&str; 8] =
    ["time", "level", "stream", "instance", "function_id", "execution_id", "trace_id", "message"];

/// Adds the members of the JSON object `fields`; what is no object is kept as text.
fn further(out: &mut Vec<u8>, fields: &str) {
    if fields.is_empty() {
        return;
    }
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(fields) else {
        return member(out, "fields", fields);
    };
    let (clash, plain): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
        fields.into_iter().partition(|(name, _)| OWN_NAMES.contains(&name.as_str()) || name == "fields");
    for (name, value) in &plain {
        out.push(b',');
        let _ = serde_json::to_writer(&mut *out, name);
        let _ = write!(out, ":{value}");
    }
    if !clash.is_empty() {
        let _ = write!(out, r#","fields":{}"#, serde_json::Value::Object(clash));
    }
}

/// Writes lines until nobody sends any; gathers what waits into one write.
fn write(received: &Receiver<Message>, out: &mut impl Write) {
    const GATHER_BYTES: usize = 64 * 1024;
    while let Ok(first) = received.recv() {
        let mut buffer = Vec::new();
        let mut flushes = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Line(line) => buffer.extend_from_slice(&line),
                Message::Flush(done) => flushes.push(done),
            }
            if buffer.len() < GATHER_BYTES {
                next = received.try_recv().ok();
            }
        }
        // A closed stdout must not stop the function.
        let _ = out.write_all(&buffer).and_then(|()| out.flush());
        for done in flushes {
            let _ = done.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn logs(per_second_max: u32) -> (Logs, Receiver<Message>) {
        let (lines, received) = sync_channel(16);
        let logs = Logs {
            lines,
            format: LogFormat::Json,
            instance: "i-1".into(),
            started: Instant::now(),
            line_bytes_max: 10,
            per_second_max: per_second_max.into(),
            window: AtomicU64::new(0),
            dropped: Arc::default(),
            traces: Arc::default(),
        };
        (logs, received)
    }

    fn next(received: &Receiver<Message>) -> serde_json::Value {
        match received.try_recv().unwrap() {
            Message::Line(line) => serde_json::from_slice(&line).unwrap(),
            Message::Flush(_) => panic!("not a line"),
        }
    }

    fn line<'a>(message: &'a str, fields: &'a str) -> LogLine<'a> {
        LogLine { source: LogSource::Logger, level: "info", execution_id: None, message, fields }
    }

    #[test]
    fn a_record_cannot_pretend_to_be_another() {
        let (logs, received) = logs(100);
        logs.line(line("a\"b\n", r#"{"message": "forged", "execution_id": "x", "colour": "mauve"}"#));
        let written = next(&received);
        assert_eq!(written["message"], "a\"b\n");
        assert!(written["execution_id"].is_null());
        assert_eq!(written["colour"], "mauve");
        assert_eq!(written["fields"]["message"], "forged");
    }

    #[test]
    fn a_line_names_the_trace_of_its_execution() {
        let (logs, received) = logs(100);
        let execution = ExecutionId::from_parts(1, 2);
        let mut headers = HeaderMap::new();
        let parent = http::HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.insert("traceparent", parent);
        let traced = logs.trace(execution, &headers);
        let forged = LogLine { execution_id: Some(execution), ..line("x", r#"{"trace_id": "forged"}"#) };
        logs.line(forged);
        let written = next(&received);
        assert_eq!(written["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(written["fields"]["trace_id"], "forged");
        drop(traced);
        logs.line(forged);
        assert!(next(&received)["trace_id"].is_null());
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let (logs, received) = logs(100);
        logs.line(line("ääääääää", ""));
        assert_eq!(next(&received)["message"], "äääää… (6 bytes cut)");
    }

    #[test]
    fn too_many_lines_are_dropped_and_counted() {
        let (logs, received) = logs(3);
        for _ in 0..10 {
            logs.line(line("x", ""));
        }
        assert_eq!(received.try_iter().count(), 3);
        assert_eq!(logs.dropped(), 7);
    }
}
