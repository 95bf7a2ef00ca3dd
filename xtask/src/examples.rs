//! `examples/examples.toml`: how each example is built, called, and what it answers.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

use crate::http::Response;
use crate::workspace::Workspace;

/// One example.
pub(crate) struct Example {
    /// Its folder's name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The language, as in tables.
    pub(crate) language: String,
    /// The targets it is compiled for.
    pub(crate) targets: Vec<String>,
    /// What is handed to `ignite compile` instead of the folder, relative to the folder of build products; for components.
    pub(crate) component: Option<String>,
    /// Calls and their answers; the first one is timed.
    pub(crate) calls: Vec<Call>,
}

/// One call and what it must answer.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    expected: Expected,
}

struct Expected {
    status: u16,
    headers: Vec<(String, String)>,
    /// The whole body.
    text: Option<String>,
    /// The whole body, compared as JSON.
    json: Option<serde_json::Value>,
    /// Each a part of the body.
    contains: Vec<String>,
}

impl Example {
    /// Every example, in the order of the file.
    ///
    /// # Errors
    /// When the file is not as it should be, or names other examples than there are folders.
    pub(crate) fn load_all(workspace: &Workspace) -> Result<Vec<Self>> {
        let root = workspace.root.join("examples");
        let text = std::fs::read_to_string(root.join("examples.toml")).context("examples/examples.toml")?;
        let table: Table = text.parse().context("examples/examples.toml")?;
        let entries = table.get("example").and_then(Value::as_array).context("examples.toml has no [[example]]")?;
        let mut examples = Vec::new();
        for entry in entries {
            let name = text_of(entry, "name").context("an example has no name")?;
            examples.push(Self::parse(entry, &name, root.join(&name)).with_context(|| format!("example {name}"))?);
        }
        for folder in std::fs::read_dir(&root)?.flatten().filter(|entry| entry.path().is_dir()) {
            let name = folder.file_name().to_string_lossy().into_owned();
            let known = name.starts_with('.') || examples.iter().any(|example| example.name == name);
            ensure!(known, "examples/{name} is not in examples.toml");
        }
        Ok(examples)
    }

    fn parse(entry: &Value, name: &str, folder: PathBuf) -> Result<Self> {
        ensure!(folder.is_dir(), "there is no such folder");
        let calls = entry.get("call").and_then(Value::as_array).context("it has no [[example.call]]")?;
        let calls: Result<Vec<Call>> = calls.iter().map(|call| Call::parse(call, &folder)).collect();
        let targets = list_of(entry, "targets")?;
        ensure!(!targets.is_empty(), "it has no targets");
        Ok(Self {
            name: name.into(),
            language: text_of(entry, "language").context("it has no language")?,
            targets,
            component: text_of(entry, "component"),
            calls: calls?,
            folder,
        })
    }
}

impl Call {
    fn parse(call: &Value, folder: &std::path::Path) -> Result<Self> {
        let body = match (text_of(call, "body"), text_of(call, "body_file")) {
            (Some(_), Some(_)) => bail!("a call has a body and a body_file"),
            (Some(body), None) => body.into_bytes(),
            (None, Some(file)) => std::fs::read(folder.join(&file)).with_context(|| file)?,
            (None, None) => Vec::new(),
        };
        let expect = call.get("expect").context("a call has no `expect`")?;
        let json =
            text_of(expect, "json").map(|text| serde_json::from_str(&text)).transpose().context("expected JSON")?;
        let status = expect.get("status").and_then(Value::as_integer).unwrap_or(200);
        let contains = if expect.get("contains").is_some() { list_of(expect, "contains")? } else { Vec::new() };
        Ok(Self {
            method: text_of(call, "method").unwrap_or("POST".into()),
            path: text_of(call, "path").unwrap_or("/".into()),
            headers: pairs_of(call, "headers"),
            body,
            expected: Expected {
                status: u16::try_from(status)?,
                headers: pairs_of(expect, "headers"),
                text: text_of(expect, "text"),
                json,
                contains,
            },
        })
    }

    /// What is wrong with an answer, if anything.
    pub(crate) fn fault(&self, answer: &Response) -> Option<String> {
        let text = String::from_utf8_lossy(&answer.body);
        let expected = &self.expected;
        if answer.status != expected.status {
            return Some(format!("status {}, expected {}: {text}", answer.status, expected.status));
        }
        for (name, value) in &expected.headers {
            if answer.header(name) != Some(value) {
                return Some(format!("{name}: {:?}, expected {value:?}", answer.header(name)));
            }
        }
        let is_text = expected.text.as_ref().is_none_or(|expected| *expected == text);
        let answered = || serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
        let is_json = expected.json.is_none() || expected.json == answered();
        let part = expected.contains.iter().find(|part| !text.contains(part.as_str()));
        (!is_text || !is_json || part.is_some()).then(|| format!("answered {text:.300}"))
    }
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(String::from)
}

fn list_of(value: &Value, key: &str) -> Result<Vec<String>> {
    let list = value.get(key).and_then(Value::as_array).with_context(|| format!("`{key}` is not a list"))?;
    list.iter()
        .map(|item| item.as_str().map(String::from).with_context(|| format!("`{key}` is not a list of texts")))
        .collect()
}

fn pairs_of(value: &Value, key: &str) -> Vec<(String, String)> {
    let table = value.get(key).and_then(Value::as_table).into_iter().flatten();
    table.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn fault(expect: &str, status: u16, body: &str) -> Option<String> {
        let call: Table = format!("expect = {expect}").parse().unwrap();
        let call = Call::parse(&Value::Table(call), "/".as_ref()).unwrap();
        let headers = vec![("a".to_string(), "b".to_string())];
        call.fault(&Response { status, headers, body: body.into() })
    }

    #[test]
    fn answers_are_judged() {
        for (expect, status, body) in [
            ("{}", 200, "anything"),
            ("{ text = 'x' }", 200, "x"),
            (r#"{ json = '{"a": 1, "b": 2}' }"#, 200, r#"{"b":2,"a":1}"#),
            ("{ status = 422, contains = ['na', 'me'], headers = { a = 'b' } }", 422, "name"),
        ] {
            assert_eq!(fault(expect, status, body), None, "{expect}");
        }
        for (expect, status, body) in [
            ("{}", 500, ""),
            ("{ text = 'x' }", 200, "xy"),
            ("{ json = '1' }", 200, "no JSON"),
            ("{ contains = ['z'] }", 200, "name"),
            ("{ headers = { a = 'c' } }", 200, ""),
        ] {
            assert!(fault(expect, status, body).is_some(), "{expect}");
        }
    }
}
