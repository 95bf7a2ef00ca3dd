//! `ignite config` and `ignite login`

use std::io::Read as _;

use ignite_core_proto::v1;
use serde::Serialize;

use crate::args::access::{ConfigCommand, ConfigSetArgs, LoginArgs};
use crate::client::Code;
use crate::config::{self, Key};
use crate::connection::{Connection, Origin};
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::ui::{Ui, table};

/// Longest line that is read from standard input, in bytes.
const LINE_BYTES_MAX: u64 = 8 * 1024;

pub(crate) fn run(command: ConfigCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    match command {
        ConfigCommand::Set(args) => set(&args, settings, ui),
        ConfigCommand::View => view(settings, ui),
    }
}

fn set(args: &ConfigSetArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let key: Key = args.key.parse().map_err(|why: String| {
        CliError::new(Exit::InvalidArgument, format!("could not set `{}`", args.key)).because(why)
    })?;
    let value = if args.value == "-" { standard_input()? } else { args.value.clone() };
    let path = config::path(&settings.env)?;
    config::set(&path, &[(key, &value)])?;
    ui.say(&format!("{key} is set in {}", path.display()));
    Ok(Exit::Done)
}

/// A setting as it is shown. A token never is.
#[derive(Serialize)]
struct Row {
    key: &'static str,
    value: Option<String>,
    origin: Option<String>,
}

fn view(settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let row = |key: Key, value: Option<(String, Origin)>| {
        let (value, origin) = value.map_or((None, None), |(value, origin)| (Some(value), Some(origin.to_string())));
        Row { key: key.as_str(), value, origin }
    };
    let endpoint = &connection.endpoint;
    let rows = [
        row(Key::ApiEndpoint, Some((endpoint.value.to_string(), endpoint.origin))),
        row(Key::Token, connection.token.as_ref().map(|token| ("(set)".to_owned(), token.origin))),
        row(Key::Org, connection.org.as_ref().map(|org| (org.value.to_string(), org.origin))),
    ];
    ui.result(&rows, |rows, _| {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| vec![row.key.to_owned(), shown(&row.value), shown(&row.origin)]).collect();
        table(&["KEY", "VALUE", "FROM"], &rows)
    })?;
    ui.say(&format!("configuration: {}", connection.file.display()));
    Ok(Exit::Done)
}

/// `ignite login`
pub(crate) fn login(args: &LoginArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let what = format!("could not log in at {}", connection.endpoint.value);
    // A token that is configured is what a login replaces.
    let given = connection.token.as_ref().filter(|token| token.origin != Origin::File);
    let text = match given {
        Some(token) => token.value.reveal().clone(),
        None if ui.can_ask() => ui
            .ask_secret("token:")
            .map_err(|error| CliError::new(Exit::InvalidArgument, what.clone()).caused_by(&error))?,
        None => standard_input()?,
    };
    let token = config::token(&text).map_err(|why| {
        CliError::new(Exit::InvalidArgument, what.clone())
            .because(why)
            .hint("--token, IGNITE_TOKEN and standard input take one")
    })?;
    let mut org = settings.flags.org.clone();
    if !args.no_check {
        let client = connection.client_with(&token)?;
        match client.call(&v1::ListAppsRequest { limit: 1, ..Default::default() }) {
            // The organisation of before would be looked for in vain.
            Ok(answer) => org = org.or_else(|| answer.apps.first().map(|app| app.organization_name.clone())),
            // It was let in, to do other things.
            Err(error) if error.code() == Some(Code::PermissionDenied) => {}
            Err(error) => return Err(error.told(what)),
        }
    }
    let endpoint = connection.endpoint.value.to_string();
    let mut values = vec![(Key::ApiEndpoint, endpoint.as_str()), (Key::Token, token.reveal())];
    values.extend(org.as_deref().map(|org| (Key::Org, org)));
    config::set(&connection.file, &values)?;
    let of = org.map_or_else(String::new, |org| format!(" for `{org}`"));
    ui.say(&format!("logged in at {endpoint}{of}; the token is in {}", connection.file.display()));
    Ok(Exit::Done)
}

/// One line of standard input.
fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| CliError::new(Exit::InvalidArgument, "could not read standard input").caused_by(&error))?;
    Ok(text.trim().to_owned())
}
