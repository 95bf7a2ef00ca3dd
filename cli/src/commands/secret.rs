//! `ignite secret`

use std::io::Read as _;
use std::path::Path;

use ignite_core_proto::v1;
use v1::__buffa::oneof::create_secret_request::Value;

use super::app;
use crate::args::access::{SecretCommand, SecretCreateArgs, SecretType};
use crate::client::Client;
use crate::connection::Connection;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

/// Longest value, password or token, in bytes.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn run(command: SecretCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        SecretCommand::Create(args) => create(&args, &client, ui),
        SecretCommand::List(args) => {
            let (secrets, more) = app::pages(
                &client,
                "could not list the secrets",
                args.limit,
                |limit, cursor| v1::ListSecretsRequest { limit, cursor, ..Default::default() },
                |answer| (answer.secrets, answer.next_cursor),
            )?;
            let answer = v1::ListSecretsResponse { secrets, ..Default::default() };
            ui.result(&answer, |answer, _| show::secrets(&answer.secrets))?;
            app::say_more(more, ui);
            Ok(Exit::Done)
        }
        SecretCommand::Delete(args) => {
            let request = v1::DeleteSecretRequest { name: args.name.clone(), ..Default::default() };
            client
                .call(&request)
                .map_err(|error| error.told(format!("could not delete the secret `{}`", args.name)))?;
            ui.say(&format!("deleted {}", args.name));
            Ok(Exit::Done)
        }
    }
}

fn create(args: &SecretCreateArgs, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let what = format!("could not make the secret `{}`", args.name);
    let refused = |why: &str| CliError::new(Exit::InvalidArgument, what.clone()).because(why);
    let typed = match args.kind {
        SecretType::Value
            if args.username.is_some()
                || args.password.is_some()
                || args.token.is_some()
                || args.server_address.is_some() =>
        {
            let why = "a value has neither username, password, token nor server";
            return Err(refused(why).hint("write --type registry or --type git, or give the value with --value-file"));
        }
        SecretType::Value => &None,
        SecretType::Registry if args.token.is_some() => {
            return Err(refused("a registry takes a password").hint("write --password, or rather --value-file"));
        }
        SecretType::Git if args.password.is_some() => {
            return Err(refused("a git server takes a token").hint("write --token, or rather --value-file"));
        }
        SecretType::Git if args.server_address.is_some() => {
            return Err(refused("--server-address belongs to a registry"));
        }
        SecretType::Registry => &args.password,
        SecretType::Git => &args.token,
    };
    let value = match (typed, &args.value_file) {
        (Some(value), _) => value.clone(),
        (None, Some(path)) => read(path).map_err(|error| refused(&format!("{}: {error}", path.display())))?,
        (None, None) if ui.can_ask() => {
            ui.ask_secret("value:").map_err(|error| refused(&format!("it could not be asked for: {error}")))?
        }
        (None, None) => return Err(refused("there is no value").hint("--value-file - reads it from standard input")),
    };
    if value.is_empty() {
        return Err(refused("the value is empty"));
    }
    let username = args.username.clone().unwrap_or_default();
    let value = match args.kind {
        SecretType::Value => Value::ValueSecret(Box::new(v1::ValueSecret { value, ..Default::default() })),
        SecretType::Git => Value::GitSecret(Box::new(v1::GitSecret { username, token: value, ..Default::default() })),
        SecretType::Registry => Value::RegistrySecret(Box::new(v1::RegistrySecret {
            username,
            password: value,
            server_address: args.server_address.clone().unwrap_or_default(),
            ..Default::default()
        })),
    };
    let request = v1::CreateSecretRequest { name: args.name.clone(), value: Some(value), ..Default::default() };
    let made = client.call(&request).map_err(|error| error.told(what))?;
    let secret = made.secret.as_option().cloned().unwrap_or_default();
    ui.result(&secret, |secret, _| show::secrets(std::slice::from_ref(secret)))?;
    Ok(Exit::Done)
}

/// A value without the line's end that editors and `echo` leave.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(VALUE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(VALUE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
