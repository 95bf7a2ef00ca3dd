//! `ignite token`

use ignite_core_proto::v1;

use super::app;
use crate::args::access::{TokenCommand, TokenCreateArgs};
use crate::args::app::ListArgs;
use crate::client::Client;
use crate::connection::{Connection, duration};
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

pub(crate) fn run(command: TokenCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        TokenCommand::Create(args) => create(&args, settings, &client, ui),
        TokenCommand::List(args) => list(&args, &client, ui),
        TokenCommand::Revoke(args) => {
            let request = v1::RevokeTokenRequest { id: args.id.clone(), ..Default::default() };
            client.call(&request).map_err(|error| error.told(format!("could not revoke the token `{}`", args.id)))?;
            ui.say(&format!("revoked {}", args.id));
            Ok(Exit::Done)
        }
    }
}

fn create(args: &TokenCreateArgs, settings: &Settings, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let what = "could not make a token";
    let expires_in_secs = match &args.expires_in {
        None => 0,
        Some(text) => {
            let secs = duration(text).map(|time| time.as_secs()).filter(|secs| *secs > 0);
            secs.and_then(|secs| i64::try_from(secs).ok()).ok_or_else(|| {
                CliError::new(Exit::InvalidArgument, what)
                    .because(format!("--expires-in: `{text}` is not a time"))
                    .hint("write 12h or 90d")
            })?
        }
    };
    let request = v1::CreateTokenRequest {
        scopes: args.scopes.clone(),
        expires_in_secs,
        note: args.note.clone(),
        // Only one that is typed: the configured one is where apps are looked for, and not whom tokens are made for.
        organization: settings.flags.org.clone().unwrap_or_default(),
        ..Default::default()
    };
    let made = client.call(&request).map_err(|error| error.told(what))?;
    // The secret alone, so that it can be led into a file or a variable.
    ui.result(&made, |made, _| made.secret.clone())?;
    ui.say(&format!("token {} of `{}`; it is not shown again", made.token.id, made.token.organization));
    Ok(Exit::Done)
}

fn list(args: &ListArgs, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let (tokens, more) = app::pages(
        client,
        "could not list the tokens",
        args.limit,
        |limit, cursor| v1::ListTokensRequest { limit, cursor, ..Default::default() },
        |answer| (answer.tokens, answer.next_cursor),
    )?;
    let answer = v1::ListTokensResponse { tokens, ..Default::default() };
    ui.result(&answer, |answer, _| show::tokens(&answer.tokens))?;
    app::say_more(more, ui);
    Ok(Exit::Done)
}
