//! `ignite doctor`: each toolchain and the sandbox, what was found, and how to get what was not.

use ignite_compiler_builder::{Builder, CompileError};
use ignite_core_model::toolchain::{Pins, Tool};
use serde::Serialize;

use crate::args::{DoctorArgs, TemplateRuntime};
use crate::exit::{CliError, Exit};
use crate::project::builder;
use crate::settings::Settings;
use crate::ui::{Ui, table};

/// One tool.
#[derive(Serialize)]
struct Row {
    tool: &'static str,
    /// Whether a version that will do was found.
    ok: bool,
    version: Option<String>,
    needed: String,
    path: Option<String>,
    /// What was looked at and refused, and why.
    refused: Vec<String>,
    /// How to get it, where it is missing.
    get: Option<String>,
}

pub(crate) fn run(args: &DoctorArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let builder = builder(settings, false);
    let rows: Vec<Row> = needed_for(args.runtime)
        .filter(|tool| builder.needs_tool(*tool))
        .map(|tool| {
            let needed = Pins::embedded().pin(tool).needed();
            match builder.find_tool(tool) {
                Ok(found) => Row {
                    tool: tool.as_str(),
                    ok: true,
                    version: Some(found.version.to_string()),
                    needed,
                    path: Some(found.path.display().to_string()),
                    refused: Vec::new(),
                    get: None,
                },
                Err(error) => Row {
                    tool: tool.as_str(),
                    ok: false,
                    version: None,
                    needed,
                    path: None,
                    refused: error.tried.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect(),
                    get: Some(error.get),
                },
            }
        })
        .collect();
    let rows: Vec<Row> = rows.into_iter().chain([sandbox(&builder)]).collect();
    ui.result(&rows, |rows, wide| draw(rows, wide))?;
    Ok(if rows.iter().all(|row| row.ok) { Exit::Done } else { Exit::Unavailable })
}

/// Whether code that is compiled is held in here.
fn sandbox(builder: &Builder) -> Row {
    let (refused, means) = match builder.sandbox() {
        Ok(features) => (features.missing.iter().map(ToString::to_string).collect(), features.means),
        Err(error) => (vec![error.to_string()], String::new()),
    };
    let ok = refused.is_empty();
    Row {
        tool: "sandbox",
        ok,
        version: None,
        needed: "namespaces, seccomp".to_owned(),
        path: ok.then_some(means),
        refused,
        get: (!ok).then(|| CompileError::Unprotected { missing: Vec::new() }.hint()).flatten(),
    }
}

fn needed_for(runtime: Option<TemplateRuntime>) -> impl Iterator<Item = Tool> {
    let needs: &'static [Tool] = match runtime {
        None => Tool::ALL,
        Some(TemplateRuntime::Python) => &[Tool::Python, Tool::Uv],
        Some(TemplateRuntime::Go) => &[Tool::Go],
        Some(TemplateRuntime::Deno) => &[Tool::Deno],
        Some(TemplateRuntime::Rust) => &[Tool::Cargo, Tool::WasmRoot, Tool::WasmLinker],
    };
    needs.iter().copied()
}

fn draw(rows: &[Row], wide: bool) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.tool.to_owned(),
                if row.ok { "ok" } else { "missing" }.to_owned(),
                row.version.clone().unwrap_or_else(|| "-".to_owned()),
                row.needed.clone(),
                row.path.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let mut text = table(&["TOOL", "STATE", "FOUND", "NEEDED", "PATH"], &cells);
    for row in rows.iter().filter(|row| !row.ok) {
        if let Some(get) = &row.get {
            text.push_str(&format!("\nto get {}, {get}", row.tool));
        }
        for refused in row.refused.iter().filter(|_| wide) {
            text.push_str(&format!("\n  looked at {refused}"));
        }
    }
    text
}
