//! `ignite execution`

use ignite_core_proto::v1;

use super::app;
use crate::args::access::{ExecutionArgs, ExecutionCommand, ExecutionListArgs, ExecutionStatusArg};
use crate::client::words::{execution_has_ended, word};
use crate::client::{Client, Followed, Heard, Interrupt, follow};
use crate::connection::Connection;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

pub(crate) fn run(command: ExecutionCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        ExecutionCommand::Get(args) => get(&args, &client, ui),
        ExecutionCommand::List(args) => list(&args, &connection, &client, ui),
        ExecutionCommand::Logs(args) => logs(&args, &client, ui),
        ExecutionCommand::Watch(args) => match watch(&args.id, &client, ui)? {
            None => Ok(Exit::Interrupted),
            Some(execution) => {
                ui.result(&execution, |execution, _| show::execution(execution))?;
                Ok(end(&execution))
            }
        },
    }
}

fn load(client: &Client, id: &str) -> Result<v1::Execution, CliError> {
    let request = v1::GetExecutionRequest { execution_id: id.to_owned(), ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(format!("could not show the execution `{id}`")))?;
    Ok(answer.execution.as_option().cloned().unwrap_or_default())
}

fn logs(args: &ExecutionArgs, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app_id = load(client, &args.id)?.app_id;
    let request = v1::GetAppLogsRequest { app_id, execution_id: args.id.clone(), ..Default::default() };
    let answer = client
        .call(&request)
        .map_err(|error| error.told(format!("could not read the logs of the execution `{}`", args.id)))?;
    if answer.lines.is_empty() {
        ui.say("it printed nothing, or not so that it can be told apart from others: `ignite app logs` shows all");
    }
    answer.lines.iter().try_for_each(|line| ui.item(line, show::line))?;
    Ok(Exit::Done)
}

fn get(args: &ExecutionArgs, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let execution = load(client, &args.id)?;
    ui.result(&execution, |execution, _| show::execution(execution))?;
    Ok(Exit::Done)
}

fn list(args: &ExecutionListArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let status = args.status.map_or(v1::ExecutionStatus::EXECUTION_STATUS_UNSPECIFIED, |status| match status {
        ExecutionStatusArg::Pending => v1::ExecutionStatus::EXECUTION_STATUS_PENDING,
        ExecutionStatusArg::Running => v1::ExecutionStatus::EXECUTION_STATUS_RUNNING,
        ExecutionStatusArg::Succeeded => v1::ExecutionStatus::EXECUTION_STATUS_SUCCEEDED,
        ExecutionStatusArg::Failed => v1::ExecutionStatus::EXECUTION_STATUS_FAILED,
        ExecutionStatusArg::TimedOut => v1::ExecutionStatus::EXECUTION_STATUS_TIMED_OUT,
        ExecutionStatusArg::Cancelled => v1::ExecutionStatus::EXECUTION_STATUS_CANCELLED,
    });
    let (executions, more) = app::pages(
        client,
        &format!("could not list the executions of `{app}`"),
        args.limit,
        |limit, cursor| v1::ListExecutionsRequest {
            app_id: app.clone(),
            limit,
            cursor,
            status: status.into(),
            ..Default::default()
        },
        |answer| (answer.executions, answer.next_cursor),
    )?;
    if executions.is_empty() {
        ui.say(&format!("there are none that are kept: `ignite invoke {app} --async` makes one"));
    }
    let answer = v1::ListExecutionsResponse { executions, ..Default::default() };
    ui.result(&answer, |answer, wide| show::executions(&answer.executions, wide))?;
    app::say_more(more, ui);
    Ok(Exit::Done)
}

/// Follows an execution to its end; `None` where the person did not wait for it.
pub(super) fn watch(id: &str, client: &Client, ui: &mut Ui) -> Result<Option<v1::Execution>, CliError> {
    let interrupt = Interrupt::listen()?;
    let mut last = v1::Execution::default();
    let request = v1::WatchExecutionRequest { execution_id: id.to_owned(), ..Default::default() };
    let followed = follow(client, request, &interrupt, &mut |heard| {
        if let Heard::Message(message) = heard {
            last = message.execution.as_option().cloned().unwrap_or_default();
            if !execution_has_ended(last.status) {
                ui.step(&word(last.status));
                ui.done(&word(last.status));
            }
        }
        Ok(())
    });
    let followed = followed.map_err(|error| error.told(format!("could not follow the execution `{id}`")))?;
    ui.stop_spinner();
    if followed == Followed::Detached {
        ui.say(&format!("it goes on without you; `ignite execution watch {id}` comes back to it"));
        return Ok(None);
    }
    Ok(Some(last))
}

/// How a command ends by an execution that did.
pub(super) fn end(execution: &v1::Execution) -> Exit {
    match execution.status.as_known() {
        Some(v1::ExecutionStatus::EXECUTION_STATUS_SUCCEEDED) => {
            super::payload::exit(u16::try_from(execution.response_status).unwrap_or_default())
        }
        Some(v1::ExecutionStatus::EXECUTION_STATUS_TIMED_OUT) => Exit::DeadlineExceeded,
        _ => Exit::Failed,
    }
}
