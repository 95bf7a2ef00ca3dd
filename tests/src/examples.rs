//! `examples/examples.toml`: how each example is built, called, and what it answers.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Answer, ask};

/// One example.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Its folder's name.
    pub name: String,
    /// As tables name it.
    pub language: String,
    /// What `ignite compile --target` is given.
    pub targets: Vec<String>,
    /// What its own toolchain builds and Ignite packs, below a target folder.
    pub component: Option<String>,
    /// Calls and their answers.
    pub call: Vec<Call>,
}

/// One call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<String>,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    text: Option<String>,
    json: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    example: Vec<Example>,
}

/// All of them.
///
/// # Errors
/// When the file is not as it should be.
pub fn load(examples: &Path) -> Result<Vec<Example>> {
    let text = std::fs::read_to_string(examples.join("examples.toml"))?;
    Ok(toml::from_str::<File>(&text)?.example)
}

impl Call {
    /// Sends it to `address` and compares the answer.
    ///
    /// # Errors
    /// At the first difference.
    pub fn check(&self, address: &str, folder: &Path) -> Result<()> {
        let body = match (&self.body, &self.body_file) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(file)) => std::fs::read(folder.join(file)).with_context(|| file.clone())?,
            (None, None) => Vec::new(),
        };
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (method, path) = (self.method.as_deref().unwrap_or("POST"), self.path.as_deref().unwrap_or("/"));
        let answer = ask(address, method, path, &headers, &body)?;
        self.expect.check(&answer).with_context(|| format!("{method} {path}"))
    }
}

impl Expected {
    fn check(&self, answer: &Answer) -> Result<()> {
        let text = answer.text();
        let shown: String = text.chars().take(300).collect();
        let status = self.status.unwrap_or(200);
        ensure!(answer.status == status, "status {} instead of {status}: {shown}", answer.status);
        for (name, value) in &self.headers {
            ensure!(answer.header(name).as_ref() == Some(value), "{name}: {:?}", answer.header(name));
        }
        ensure!(self.text.as_ref().is_none_or(|wanted| *wanted == text), "answered {shown}");
        if let Some(json) = &self.json {
            let wanted: Value = serde_json::from_str(json)?;
            ensure!(answer.json() == wanted, "answered {shown}");
        }
        for part in &self.contains {
            ensure!(text.contains(part), "answered {shown}");
        }
        Ok(())
    }
}
