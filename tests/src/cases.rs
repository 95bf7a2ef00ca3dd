//! Cases: behaviours that every language shows in the same way, each a folder with a `case.toml`.
//!
//! One app per language (`tests/cases/apps/`) answers all of them by path; a case sends its steps in order and says what
//! must come back. A language that cannot show a behaviour says why in the case, and the reason stands in the table.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use ureq::http::{Request, Response};

use crate::host::{Host, agent};

/// How long a log line may take from a function's print to the host's output.
const LOG_WAIT: Duration = Duration::from_secs(5);

/// One behaviour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// What is shown, for the table.
    pub description: String,
    /// Targets that cannot show it, each with the reason.
    #[serde(default)]
    pub unsupported: BTreeMap<String, String>,
    /// What is sent and expected, one after the other.
    pub steps: Vec<Step>,
}

/// One or several requests at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is sent.
    pub request: Sent,
    /// What must come back.
    pub expect: Expected,
    /// Sent at the same time as the step before it.
    #[serde(default)]
    pub with_previous: bool,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// POST unless said.
    #[serde(default = "post")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header lines.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body; empty unless said.
    #[serde(default)]
    pub body: Body,
}

fn post() -> String {
    "POST".to_owned()
}

/// A body, written in the way that is clearest.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// UTF-8.
    Text(String),
    /// Each value of a byte once.
    AllBytes,
    /// So many bytes of a pattern that does not repeat every power of two.
    Pattern(usize),
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::AllBytes => (0..=255).collect(),
            Self::Pattern(length) => (0..*length).map(|index| (index % 251) as u8).collect(),
        }
    }
}

/// An answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The status; 200 unless said.
    #[serde(default = "ok")]
    pub status: u16,
    /// The body is that of the request.
    #[serde(default)]
    pub echo: bool,
    /// The body has so many bytes.
    pub length: Option<usize>,
    /// The body, as text.
    pub text: Option<String>,
    /// The body as JSON has these members; `"*"` stands for any value, `"<id>"` for the execution's id.
    pub json: Option<Value>,
    /// Headers there must be; `*` stands for any value. Several values of one name are joined by `, `.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The answer takes at least and at most so many milliseconds.
    pub between_ms: Option<(u64, u64)>,
    /// The first part arrives at least so many milliseconds before the end.
    pub streamed_ms: Option<u64>,
    /// The answer breaks off before its end.
    #[serde(default)]
    pub broken: bool,
    /// Log lines of this execution; members as in `json`.
    #[serde(default)]
    pub logs: Vec<Value>,
    /// The `error` member contains this.
    pub error_contains: Option<String>,
}

fn ok() -> u16 {
    200
}

/// All cases, by name.
///
/// # Errors
/// When one cannot be read; the error names it.
pub fn load(dir: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(path.join("case.toml")).with_context(|| path.display().to_string())?;
        let mut case: Case = toml::from_str(&text).with_context(|| path.display().to_string())?;
        case.name = path.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        cases.push(case);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    /// Sends the steps to `host` and compares.
    ///
    /// # Errors
    /// At the first difference, with the step and both sides.
    pub fn check(&self, host: &Host) -> Result<()> {
        let mut index = 0;
        while index < self.steps.len() {
            let together = 1 + self.steps[index + 1..].iter().take_while(|step| step.with_previous).count();
            let group = &self.steps[index..index + together];
            thread::scope(|scope| {
                let running: Vec<_> = group.iter().map(|step| scope.spawn(|| step.check(host))).collect();
                for (offset, step) in running.into_iter().enumerate() {
                    let outcome = step.join().map_err(|_| anyhow::anyhow!("the step panicked"))?;
                    outcome.with_context(|| format!("case {}, step {}", self.name, index + offset + 1))?;
                }
                anyhow::Ok(())
            })?;
            index += together;
        }
        Ok(())
    }
}

/// What came back.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    broken: Option<String>,
    took: Duration,
    first_part: Option<Duration>,
}

impl Step {
    fn check(&self, host: &Host) -> Result<()> {
        let answer = self.send(host)?;
        let shown = String::from_utf8_lossy(&answer.body[..answer.body.len().min(2000)]).into_owned();
        ensure!(
            answer.status == self.expect.status,
            "status {} instead of {}: {shown}",
            answer.status,
            self.expect.status
        );
        match (&answer.broken, self.expect.broken) {
            (Some(why), false) => bail!("the answer broke off: {why}"),
            (None, true) => bail!("the answer should have broken off, but ended well: {shown}"),
            _ => {}
        }
        if self.expect.echo {
            ensure!(
                answer.body == self.request.body.bytes(),
                "the body is not that of the request ({} bytes)",
                answer.body.len()
            );
        }
        if let Some(length) = self.expect.length {
            ensure!(answer.body.len() == length, "the body has {} bytes instead of {length}", answer.body.len());
        }
        if let Some(text) = &self.expect.text {
            ensure!(shown == *text, "body {shown:?} instead of {text:?}");
        }
        let id = answer.header("x-ignite-execution-id").unwrap_or_default();
        ensure!(id.len() == 26, "the answer has no execution id but {id:?}");
        self.check_json(&answer, &shown, &id)?;
        self.check_headers(&answer)?;
        self.check_times(&answer)?;
        for wanted in &self.expect.logs {
            host.log_line(LOG_WAIT, |line| covers(line, wanted, &id))
                .with_context(|| format!("no log line {wanted}"))?;
        }
        Ok(())
    }

    fn send(&self, host: &Host) -> Result<Answer> {
        let mut request = Request::builder().method(self.request.method.as_str()).uri(format!(
            "http://{}{}",
            host.address(),
            self.request.path
        ));
        for (name, value) in &self.request.headers {
            request = request.header(name, value);
        }
        let started = Instant::now();
        let mut response: Response<ureq::Body> = agent().run(request.body(self.request.body.bytes())?)?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = response.status().as_u16();
        let (mut body, mut part, mut first_part, mut broken) = (Vec::new(), vec![0; 64 * 1024], None, None);
        let mut reader = response.body_mut().as_reader();
        loop {
            match reader.read(&mut part) {
                Ok(0) => break,
                Ok(count) => body.extend_from_slice(&part[..count]),
                Err(error) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
            first_part.get_or_insert_with(|| started.elapsed());
        }
        Ok(Answer { status, headers, body, broken, took: started.elapsed(), first_part })
    }

    fn check_json(&self, answer: &Answer, shown: &str, id: &str) -> Result<()> {
        if self.expect.json.is_none() && self.expect.error_contains.is_none() {
            return Ok(());
        }
        let body: Value =
            serde_json::from_slice(&answer.body).with_context(|| format!("the body is not JSON: {shown}"))?;
        if let Some(wanted) = &self.expect.json {
            ensure!(covers(&body, wanted, id), "body {body} does not have {wanted}");
        }
        if let Some(words) = &self.expect.error_contains {
            let error = body["error"].as_str().unwrap_or_default();
            ensure!(error.contains(words), "the error {error:?} does not say {words:?}");
        }
        Ok(())
    }

    fn check_headers(&self, answer: &Answer) -> Result<()> {
        for (name, wanted) in &self.expect.headers {
            let found = answer.header(name).with_context(|| format!("no header {name} in {:?}", answer.headers))?;
            ensure!(wanted == "*" || found == *wanted, "header {name} is {found:?} instead of {wanted:?}");
        }
        Ok(())
    }

    fn check_times(&self, answer: &Answer) -> Result<()> {
        if let Some((least, most)) = self.expect.between_ms {
            let took = answer.took.as_millis() as u64;
            ensure!((least..=most).contains(&took), "took {took} ms instead of {least} to {most}");
        }
        if let Some(before) = self.expect.streamed_ms {
            let first = answer.first_part.context("no part arrived")?;
            let gap = answer.took.saturating_sub(first);
            ensure!(gap >= Duration::from_millis(before), "the first part came only {gap:?} before the end");
        }
        Ok(())
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }
}

/// Whether `value` has everything that `wanted` has.
fn covers(value: &Value, wanted: &Value, id: &str) -> bool {
    match (value, wanted) {
        (Value::Null, Value::String(any)) if any == "*" => false,
        (_, Value::String(any)) if any == "*" => true,
        (Value::String(found), Value::String(mark)) if mark == "<id>" => found == id,
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| covers(found, wanted, id)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| covers(found, wanted, id))
        }
        _ => value == wanted,
    }
}
