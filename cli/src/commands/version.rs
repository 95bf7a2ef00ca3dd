//! `ignite version`

use std::io::Write;
use std::path::{Path, PathBuf};

use ignite_core_model::Digest;
use ignite_core_proto::v1;
use sha2::{Digest as _, Sha256};

use super::rollout::Watched;
use super::{app, draft, payload};
use crate::args::draft::{
    VersionArgs, VersionCodeArgs, VersionCommand, VersionListArgs, VersionRollbackArgs, VersionTestArgs,
};
use crate::client::Client;
use crate::connection::{Connection, new_id};
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::{Ui, size};

pub(crate) fn run(command: VersionCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        VersionCommand::List(args) => list(&args, &connection, &client, ui),
        VersionCommand::Get(args) => get(&args, &connection, &client, ui),
        VersionCommand::Rollback(args) => roll_back(&args, &connection, &client, ui),
        VersionCommand::Code(args) => code(&args, &connection, &client, ui),
        VersionCommand::Test(args) => test(&args, &connection, &client, ui),
    }
}

/// Reads `3` or `v3`; `draft` and 0 are the draft where there may be one.
fn number(text: &str, least: u32) -> Result<u32, CliError> {
    let parsed = match text {
        "draft" => Some(0),
        text => text.strip_prefix('v').unwrap_or(text).parse().ok(),
    };
    parsed.filter(|number| *number >= least).ok_or_else(|| {
        CliError::new(Exit::InvalidArgument, format!("could not take `{text}` for a version"))
            .because("versions are numbered from 1")
            .hint("write 3 or v3")
    })
}

fn list(args: &VersionListArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let (versions, more) = app::pages(
        client,
        &format!("could not list the versions of `{app}`"),
        args.list.limit,
        |limit, cursor| v1::ListAppVersionsRequest { app_id: app.clone(), limit, cursor, ..Default::default() },
        |answer| (answer.versions, answer.next_cursor),
    )?;
    if versions.is_empty() {
        ui.say(&format!("there are no versions yet: `ignite draft publish {app}` makes the first"));
    }
    let answer = v1::ListAppVersionsResponse { versions, ..Default::default() };
    ui.result(&answer, |answer, wide| show::versions(&answer.versions, wide))?;
    app::say_more(more, ui);
    Ok(Exit::Done)
}

fn get(args: &VersionArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let (app, version) = (connection.app(&args.app)?, number(&args.number, 1)?);
    let request = v1::GetAppVersionRequest { app_id: app.clone(), version, ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not show v{version} of `{app}`")))?;
    ui.result(&answer, |answer, _| show::version_info(&answer.version))?;
    Ok(Exit::Done)
}

fn roll_back(
    args: &VersionRollbackArgs,
    connection: &Connection,
    client: &Client,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let (app, version) = (connection.app(&args.version.app)?, number(&args.version.number, 1)?);
    let what = format!("roll `{app}` back to v{version}");
    let request =
        v1::RollbackAppRequest { app_id: app.clone(), version, idempotency_id: new_id(), ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not {what}")))?;
    let rollout = answer.rollout.as_option().cloned().unwrap_or_default();
    draft::end(&Watched { client, app: &app, what: &what }, rollout, args.wait.detach, ui)
}

fn test(args: &VersionTestArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let (app, version) = (connection.app(&args.version.app)?, number(&args.version.number, 1)?);
    let call = buffa::MessageField::some(payload::test_call(&args.payload)?);
    let request = v1::TestAppVersionRequest { app_id: app.clone(), version, call, ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not test v{version} of `{app}`")))?;
    payload::show_test(&answer.result, ui)
}

fn code(args: &VersionCodeArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let version = match &args.number {
        Some(text) => number(text, 0)?,
        None => app::load(client, &app)?.active_version,
    };
    let name = if version == 0 { "the draft".to_owned() } else { format!("v{version}") };
    let what = format!("could not fetch the source of {name} of `{app}`");
    let standard = args.out.as_deref() == Some(Path::new("-"));
    let dir = match &args.out {
        Some(out) if !standard => out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        Some(_) => &std::env::temp_dir(),
        None => Path::new("."),
    };
    let unwritable = |error: &std::io::Error| {
        CliError::new(Exit::InvalidArgument, what.clone())
            .because(format!("nothing can be written to {}: {error}", dir.display()))
            .hint("name another file with --out")
    };
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|error| unwritable(&error))?;
    let request = v1::GetAppCodeRequest { app_id: app.clone(), version, ..Default::default() };
    let mut messages = client.stream(&request).map_err(|error| error.told(&what))?;
    let (mut sha256, mut wanted, mut bytes, mut first) = (Sha256::new(), String::new(), 0_u64, Vec::new());
    while let Some(message) = messages.next().map_err(|error| error.told(&what))? {
        if !message.code_hash.is_empty() {
            wanted = message.code_hash;
        }
        sha256.update(&message.chunk);
        bytes += message.chunk.len() as u64;
        if first.len() < MAGIC_BYTES {
            first.extend(message.chunk.iter().take(MAGIC_BYTES));
        }
        file.write_all(&message.chunk).map_err(|error| unwritable(&error))?;
    }
    let found = Digest::from_bytes(sha256.finalize().into());
    if found.to_string() != wanted {
        return Err(CliError::new(Exit::Unavailable, what)
            .because("what came is not what was saved")
            .hint("try again"));
    }
    if standard {
        let content = std::fs::read(file.path()).map_err(|error| unwritable(&error))?;
        ui.bytes(&content)?;
        return Ok(Exit::Done);
    }
    let out = args.out.clone().unwrap_or_else(|| {
        let short = app.rsplit('/').next().unwrap_or(&app);
        let version = if version == 0 { "draft".to_owned() } else { format!("v{version}") };
        PathBuf::from(format!("{short}-{version}.{}", extension(&first)))
    });
    file.persist(&out).map_err(|error| unwritable(&error.error))?;
    ui.say(&format!("{} of source", size(bytes)));
    ui.bytes(format!("{}\n", out.display()).as_bytes())?;
    Ok(Exit::Done)
}

/// Bytes by which an archive is known.
const MAGIC_BYTES: usize = 4;

fn extension(first: &[u8]) -> &'static str {
    match first {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "tar.zst",
        [0x1f, 0x8b, ..] => "tar.gz",
        [b'P', b'K', ..] => "zip",
        [0, b'a', b's', b'm', ..] => "wasm",
        _ => "tar",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_shown() {
        assert_eq!([number("3", 1).unwrap(), number("v3", 1).unwrap(), number("draft", 0).unwrap()], [3, 3, 0]);
        for bad in ["0", "draft", "x", "-1", ""] {
            assert_eq!(number(bad, 1).unwrap_err().exit, Exit::InvalidArgument, "{bad}");
        }
    }
}
