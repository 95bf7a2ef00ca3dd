//! `ignite app`

use std::time::{Duration, Instant};

use ignite_core_proto::v1;
use serde_json::Value;

use super::rollout::{Outcome, Watched};
use super::wanted::Wanted;
use super::{logs, source};
use crate::args::app::{AppArgs, AppCommand, AppCreateArgs, AppDeleteArgs, AppStateArgs, AppUpdateArgs, ListArgs};
use crate::args::platform::UnusedArgs;
use crate::client::words::{has_ended, or_nothing, word};
use crate::client::{Call, Client, Interrupt};
use crate::connection::Connection;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

/// Entries asked for at once.
const PAGE: u32 = 200;

/// Pause between two looks at whether an app is gone.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn run(command: AppCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    if let AppCommand::Deploy(args) = command {
        return super::deploy::run_app(&args, settings, ui);
    }
    let connection = Connection::load(settings)?;
    let client = connection.client()?;
    match command {
        AppCommand::Create(args) => create(&args, &connection, &client, ui),
        AppCommand::Get(args) => get(&args, &connection, &client, ui),
        AppCommand::List(args) => list(&args, &client, ui),
        AppCommand::Update(args) => update(&args, &connection, &client, ui),
        AppCommand::Delete(args) => delete(&args, &connection, &client, ui),
        AppCommand::State(args) => state(&args, &connection, &client, ui),
        AppCommand::Logs(args) => logs::lines(&args, &connection, &client, ui),
        AppCommand::Events(args) => logs::events(&args, &connection, &client, ui),
        AppCommand::Instances(args) => instances(&args, &connection, &client, ui),
        AppCommand::Deploy(_) => Ok(Exit::Done),
    }
}

/// Says which flags do nothing here.
pub(super) fn warn_unused(unused: &UnusedArgs, ui: &mut Ui) {
    let given = unused.given();
    if !given.is_empty() {
        ui.say(&format!("warning: this platform makes no use of {}", given.join(", ")));
    }
}

fn create(args: &AppCreateArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let name = connection.app(&args.name)?;
    warn_unused(&args.config.unused, ui);
    let (runtime, ..) = source::words(&args.runtime)?;
    if runtime.is_some() {
        ui.say("warning: an app has no language before it has code: say it to `ignite draft save`, or let it be found");
    }
    let config = Wanted::of_flags(&args.config)?.config(None);
    let request =
        v1::CreateAppRequest { name: name.clone(), config: buffa::MessageField::some(config), ..Default::default() };
    let made = client.call(&request).map_err(|error| error.told(format!("could not make the app `{name}`")))?;
    ui.result(&made, |made, _| {
        show::pairs(&[
            ("app", made.app_id.clone()),
            ("state", word(made.deployment_state)),
            ("tier", word(made.applied_tier)),
            ("url", or_nothing(&made.url)),
        ])
    })?;
    ui.say(&format!("next: ignite draft save {} --code DIR", made.app_id));
    Ok(Exit::Done)
}

/// An app, if it is there.
pub(super) fn find(client: &Client, app: &str) -> Result<Option<v1::AppMeta>, CliError> {
    match client.call(&v1::GetAppRequest { app_id: app.to_owned(), ..Default::default() }) {
        Ok(answer) => Ok(Some(answer.app.as_option().cloned().unwrap_or_default())),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.told(format!("could not look at the app `{app}`"))),
    }
}

/// An app that must be there.
pub(super) fn load(client: &Client, app: &str) -> Result<v1::AppMeta, CliError> {
    let answer = client
        .call(&v1::GetAppRequest { app_id: app.to_owned(), ..Default::default() })
        .map_err(|error| error.told(format!("could not find the app `{app}`")))?;
    Ok(answer.app.as_option().cloned().unwrap_or_default())
}

fn get(args: &AppArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = load(client, &connection.app(&args.app)?)?;
    if ui.is_for_people() {
        ui.result(&app, show::app)?;
        return Ok(Exit::Done);
    }
    // The API leaves out what is 0 or empty; scripts look for these two whatever they are.
    let unprintable =
        |error: serde_json::Error| CliError::new(Exit::Internal, "could not print the app").caused_by(&error);
    let mut value = serde_json::to_value(&app).map_err(unprintable)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("active_version".to_owned(), app.active_version.into());
        let urls: Vec<Value> =
            Some(&app.url).filter(|url| !url.is_empty()).map(|url| url.as_str().into()).into_iter().collect();
        fields.insert("public_urls".to_owned(), urls.into());
    }
    ui.result(&value, |_, _| String::new())?;
    Ok(Exit::Done)
}

/// Reads pages until there are no more, or as many entries as are wanted. Tells whether there are more.
pub(super) fn pages<Q: Call, T>(
    client: &Client,
    what: &str,
    limit: u32,
    mut request: impl FnMut(u32, String) -> Q,
    mut take: impl FnMut(Q::Answer) -> (Vec<T>, String),
) -> Result<(Vec<T>, bool), CliError> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let left = limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok((all, !cursor.is_empty()));
        }
        let answer = client.call(&request(left.min(PAGE), cursor.clone())).map_err(|error| error.told(what))?;
        let (page, next) = take(answer);
        let stuck = page.is_empty() || next == cursor;
        all.extend(page);
        if next.is_empty() || stuck {
            return Ok((all, false));
        }
        cursor = next;
    }
}

/// Says that a list goes on.
pub(super) fn say_more(more: bool, ui: &mut Ui) {
    if more {
        ui.say("there are more: --limit shows them");
    }
}

fn list(args: &ListArgs, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let (apps, more) = pages(
        client,
        "could not list the apps",
        args.limit,
        |limit, cursor| v1::ListAppsRequest { limit, cursor, ..Default::default() },
        |answer| (answer.apps, answer.next_cursor),
    )?;
    if apps.is_empty() {
        ui.say("there are no apps yet: `ignite deploy` in a project's folder makes the first");
    }
    let answer = v1::ListAppsResponse { apps, ..Default::default() };
    ui.result(&answer, |answer, wide| show::apps(&answer.apps, wide))?;
    say_more(more, ui);
    Ok(Exit::Done)
}

fn update(args: &AppUpdateArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let what = format!("could not change the app `{app}`");
    warn_unused(&args.config.unused, ui);
    let wanted = Wanted::of_flags(&args.config)?;
    if wanted.is_empty() {
        return Err(CliError::new(Exit::InvalidArgument, what)
            .because("nothing is to change")
            .hint("`ignite app update --help` lists what can"));
    }
    let now = load(client, &app)?;
    let removed = wanted.removed_variables(&now);
    let config = buffa::MessageField::some(wanted.config(Some(&now)));
    let request = v1::UpdateAppConfigRequest { app_id: app, config, ..Default::default() };
    let answer = client.call(&request).map_err(|error| error.told(what))?;
    if !removed.is_empty() {
        ui.say(&format!("removed the variables {}", removed.join(", ")));
    }
    let app = answer.app.as_option().cloned().unwrap_or_default();
    ui.result(&app, show::app)?;
    if app.active_version > 0 {
        ui.say(&format!("it takes effect with the next publish: ignite draft publish {}", app.id));
    }
    Ok(Exit::Done)
}

fn delete(args: &AppDeleteArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    // Deleting what is not there is no error to the API; to a person it is a slip of the pen.
    let app = load(client, &app)?.id;
    if !args.yes && ui.can_ask() {
        let answer = ui.ask(&format!("delete `{app}` with all its versions? [y/N]")).unwrap_or_default();
        if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            ui.say("nothing was deleted");
            return Ok(Exit::Done);
        }
    }
    client
        .call(&v1::DeleteAppRequest { app_id: app.clone(), ..Default::default() })
        .map_err(|error| error.told(format!("could not delete the app `{app}`")))?;
    if !args.follow {
        ui.say(&format!("`{app}` is being deleted"));
        return Ok(Exit::Done);
    }
    let interrupt = Interrupt::listen()?;
    let deadline = Instant::now() + client.timeout();
    ui.step("deleting");
    while find(client, &app)?.is_some() {
        if interrupt.pressed() {
            ui.stop_spinner();
            ui.say(&format!("it goes on without you; `ignite app get {app}` tells whether it is gone"));
            return Ok(Exit::Interrupted);
        }
        if Instant::now() >= deadline {
            return Err(CliError::new(Exit::DeadlineExceeded, format!("could not wait until `{app}` is gone"))
                .because("its instances take longer to end")
                .hint("--timeout waits longer; it is being deleted all the same"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    ui.stop_spinner();
    ui.say(&format!("`{app}` is gone"));
    Ok(Exit::Done)
}

fn state(args: &AppStateArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let load = || {
        client
            .call(&v1::GetAppStateRequest { app_id: app.clone(), ..Default::default() })
            .map_err(|error| error.told(format!("could not look at the app `{app}`")))
    };
    let mut state = load()?;
    if let Some(rollout) = state.rollout.as_option().filter(|rollout| args.follow && !has_ended(rollout.status)) {
        let what = format!("{} `{app}`", if rollout.kind == "rollback" { "roll back" } else { "publish" });
        let watched = Watched { client, app: &app, what: &what };
        if let Outcome::Detached = watched.follow(rollout.clone(), ui)? {
            return Ok(Exit::Interrupted);
        }
        state = load()?;
    }
    ui.result(&state, |state, _| show::state(state))?;
    Ok(Exit::Done)
}

fn instances(args: &AppArgs, connection: &Connection, client: &Client, ui: &mut Ui) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let answer = client
        .call(&v1::ListAppInstancesRequest { app_id: app.clone(), ..Default::default() })
        .map_err(|error| error.told(format!("could not list the instances of `{app}`")))?;
    if answer.instances.is_empty() {
        ui.say("no instance runs: the next request starts one, if a version is live");
    }
    ui.result(&answer, |answer, _| show::instances(&answer.instances))?;
    Ok(Exit::Done)
}
