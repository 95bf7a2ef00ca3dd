//! `ignite draft`

use ignite_core_proto::v1;

use super::rollout::{CompileEnd, Outcome, Watched, compile_lines};
use super::{app, payload, source};
use crate::args::app::AppArgs;
use crate::args::draft::{
    CompileLogsArgs, DraftCommand, DraftCompileArgs, DraftPublishArgs, DraftSaveArgs, DraftTestArgs,
};
use crate::client::words::plain;
use crate::client::{Client, Interrupt};
use crate::connection::{Connection, new_id};
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

pub(crate) fn run(command: DraftCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    // What is wrong with the flags is told without asking anybody.
    if let DraftCommand::Save(args) = &command {
        source::choose(&args.source, None)?;
    }
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        DraftCommand::Save(args) => save(&args, &connection, &client, ui),
        DraftCommand::Info(args) => info(&args, &connection, &client, ui),
        DraftCommand::Compile(args) => compile(&args, &connection, &client, ui),
        DraftCommand::CompileLogs(args) => compile_logs(&args, &connection, &client, ui),
        DraftCommand::Test(args) => test(&args, &connection, &client, ui),
        DraftCommand::Publish(args) => publish(&args, &connection, &client, ui),
    }
}

fn save(args: &DraftSaveArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let code = source::choose(&args.source, None)?;
    app::warn_unused(&args.unused, ui);
    let code = source::pack(&code, ui)?.send(client, &app, ui)?;
    let request =
        v1::SaveDraftRequest { app_id: app.clone(), code: buffa::MessageField::some(code), ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not save the draft of `{app}`")))?;
    let draft = answer.draft.as_option().cloned().unwrap_or_default();
    ui.result(&draft, |draft, _| show::version_info(draft))?;
    ui.say(&format!("next: ignite draft publish {app}"));
    Ok(Exit::Done)
}

fn draft_of(client: &Client, app: &str) -> Result<Option<v1::VersionInfo>, CliError> {
    let answer = client
        .call(&v1::GetDraftInfoRequest { app_id: app.to_owned(), ..Default::default() })
        .map_err(|error| error.told(format!("could not look at the draft of `{app}`")))?;
    Ok(answer.draft.as_option().cloned())
}

fn info(args: &AppArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let draft = draft_of(client, &app)?.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("could not show the draft of `{app}`"))
            .because("nothing was saved yet")
            .hint(format!("`ignite draft save {app} --code DIR` saves one"))
    })?;
    ui.result(&draft, |draft, _| show::version_info(draft))?;
    Ok(Exit::Done)
}

fn compile(args: &DraftCompileArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let begun = client
        .call(&v1::CompileDraftRequest { app_id: app.clone(), ..Default::default() })
        .map_err(|error| error.told(format!("could not compile the draft of `{app}`")))?;
    if !args.follow {
        ui.result(&begun, |begun, _| begun.compile_id.clone())?;
        ui.say(&format!("`ignite draft compile-logs {app}` follows it"));
        return Ok(Exit::Done);
    }
    follow(client, &app, &begun.compile_id, ui)
}

fn compile_logs(
    args: &CompileLogsArgs,
    connection: &Connection,
    client: &Client,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let compile = args.compile.clone().unwrap_or_default();
    if compile.is_empty() {
        let draft = draft_of(client, &app)?;
        // A draft that waits for its publish has nothing to show, and nothing is wrong with that.
        if draft.as_ref().is_some_and(|draft| draft.compile_id.is_empty() && draft.artifact_digest.is_empty()) {
            ui.say(&format!("the draft was not compiled yet: `ignite draft publish {app}` compiles it first"));
            return Ok(Exit::Done);
        }
    }
    follow(client, &app, &compile, ui)
}

/// Shows the lines of a compile and ends as it did.
fn follow(client: &Client, app: &str, compile: &str, ui: &mut Ui) -> Result<Exit, CliError> {
    let interrupt = Interrupt::listen()?;
    let end = compile_lines(client, app, compile, &interrupt, ui)
        .map_err(|error| error.told(format!("could not follow the compile of `{app}`")))?;
    match end {
        None => {
            ui.say(&format!("it goes on without you; `ignite draft compile-logs {app}` comes back to it"));
            Ok(Exit::Interrupted)
        }
        Some(end) if end.status == v1::CompileStatus::COMPILE_STATUS_SUCCEEDED => {
            ui.say("compiled");
            Ok(Exit::Done)
        }
        Some(end) => Err(failed(app, &end)),
    }
}

fn failed(app: &str, end: &CompileEnd) -> CliError {
    let error = CliError::new(Exit::Failed, format!("could not compile the draft of `{app}`"));
    match &end.failure {
        Some(why) => error.because(why.reason.lines().map(plain).collect::<Vec<_>>().join("\n")),
        None => error,
    }
}

fn test(args: &DraftTestArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let call = payload::test_call(&args.payload)?;
    let request =
        v1::TestDraftRequest { app_id: app.clone(), call: buffa::MessageField::some(call), ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not test the draft of `{app}`")))?;
    payload::show_test(&answer.result, ui)
}

fn publish(args: &DraftPublishArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let what = format!("publish `{app}`");
    let request = v1::PublishDraftRequest { app_id: app.clone(), idempotency_id: new_id(), ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not {what}")))?;
    let rollout = answer.rollout.as_option().cloned().unwrap_or_default();
    end(&Watched { client, app: &app, what: &what }, rollout, args.wait.detach, ui)
}

/// Waits for a rollout, if it is to be waited for, and prints it.
pub(super) fn end(watched: &Watched<'_>, rollout: v1::Rollout, detach: bool, ui: &mut Ui) -> Result<Exit, CliError> {
    if detach {
        ui.result(&rollout, |rollout, _| rollout.id.clone())?;
        watched.detached(ui);
        return Ok(Exit::Done);
    }
    let Outcome::Live(rollout) = watched.follow(rollout, ui)? else { return Ok(Exit::Interrupted) };
    let app = app::load(watched.client, watched.app)?;
    ui.result(&*rollout, |rollout, _| {
        show::pairs(&[("app", app.id), ("version", format!("v{}", rollout.version)), ("url", app.url)])
    })?;
    Ok(Exit::Done)
}
