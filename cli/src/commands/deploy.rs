//! `ignite deploy`: from a folder to a hostname in one step.

use std::path::{Path, PathBuf};

use ignite_core_model::{AppManifest, MANIFEST_FILE};
use ignite_core_proto::v1;

use super::rollout::{Outcome, Watched};
use super::wanted::Wanted;
use super::{app, source};
use crate::args::app::AppDeployArgs;
use crate::args::deploy::{DeployArgs, DeployFolderArgs};
use crate::client::{Client, Code};
use crate::connection::{Connection, new_id};
use crate::exit::{CliError, Exit};
use crate::project;
use crate::settings::Settings;
use crate::show;
use crate::ui::Ui;

/// `ignite deploy [DIR]`
pub(crate) fn run(args: &DeployFolderArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    if args.dir.is_some() && args.deploy.source.code.is_some() {
        return Err(CliError::new(Exit::InvalidArgument, "could not deploy")
            .because("the folder is named twice, as DIR and with --code")
            .hint("leave one of them out"));
    }
    let dir = args.deploy.source.code.clone().or_else(|| args.dir.clone()).unwrap_or_else(|| PathBuf::from("."));
    deploy(&args.deploy, args.app.as_deref(), &dir, settings, ui)
}

/// `ignite app deploy APP`
pub(crate) fn run_app(args: &AppDeployArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let dir = args.deploy.source.code.clone().unwrap_or_else(|| PathBuf::from("."));
    deploy(&args.deploy, Some(&args.app), &dir, settings, ui)
}

fn deploy(
    args: &DeployArgs,
    named: Option<&str>,
    dir: &Path,
    settings: &Settings,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let code = source::choose(&args.source, Some(dir))?;
    let manifest = manifest(dir)?;
    let wanted = Wanted::of_flags(&args.config)?.or(Wanted::of_manifest(&manifest));
    app::warn_unused(&args.config.unused, ui);
    let connection = Connection::load(settings)?;
    let id = app_id(&connection, named, &manifest, dir)?;
    let client = connection.client()?;
    let now = app::find(&client, &id)?;
    let packed = source::pack(&code, ui)?;
    if now.is_none() && packed.needs_upload() {
        make(&client, &id)?;
    }
    let removed = now.as_ref().map(|now| wanted.removed_variables(now)).unwrap_or_default();
    if !removed.is_empty() {
        ui.say(&format!("removes the variables {}", removed.join(", ")));
    }
    let code = packed.send(&client, &id, ui)?;
    let request = v1::DeployRequest {
        app_id: id.clone(),
        config: buffa::MessageField::some(wanted.config(now.as_ref())),
        code: buffa::MessageField::some(code),
        idempotency_id: new_id(),
        ..Default::default()
    };
    let what = format!("deploy `{id}`");
    let mut answer = begin(&client, &request, &what)?;
    let rollout = answer.rollout.as_option().cloned().unwrap_or_default();
    let watched = Watched { client: &client, app: &id, what: &what };
    if args.wait.detach {
        watched.detached(ui);
    } else {
        let Outcome::Live(rollout) = watched.follow(rollout, ui)? else { return Ok(Exit::Interrupted) };
        answer.rollout = buffa::MessageField::some(*rollout);
    }
    ui.result(&answer, |answer, _| {
        let version = answer.rollout.version;
        let version = if version == 0 { "on its way".to_owned() } else { format!("v{version}") };
        show::pairs(&[("app", answer.app_id.clone()), ("version", version), ("url", answer.url.clone())])
    })?;
    Ok(Exit::Done)
}

/// Begins a deploy. When the answer is lost, the platform is asked whether it has begun, by the id that was chosen here.
fn begin(client: &Client, request: &v1::DeployRequest, what: &str) -> Result<v1::DeployResponse, CliError> {
    let error = match client.call(request) {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let failed = || error.told(format!("could not {what}"));
    if !error.is_passing() {
        return Err(failed());
    }
    let watch = v1::WatchRolloutRequest {
        app_id: request.app_id.clone(),
        rollout_id: request.idempotency_id.clone(),
        ..Default::default()
    };
    let begun = client.stream(&watch).and_then(|mut messages| messages.next()).map_err(|_| failed())?;
    let app = app::load(client, &request.app_id)?;
    Ok(v1::DeployResponse {
        app_id: app.id,
        url: app.url,
        rollout: begun.ok_or_else(failed)?.rollout,
        ..Default::default()
    })
}

/// Makes an app, so that an upload can be bound to it. That it is there by now is as good.
fn make(client: &Client, id: &str) -> Result<(), CliError> {
    match client.call(&v1::CreateAppRequest { name: id.to_owned(), ..Default::default() }) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(Code::AlreadyExists) => Ok(()),
        Err(error) => Err(error.told(format!("could not make the app `{id}`"))),
    }
}

/// The project's manifest; one that is absent says nothing, and one with faults is told in full.
fn manifest(dir: &Path) -> Result<AppManifest, CliError> {
    let path = dir.join(MANIFEST_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if !path.is_file() => return Ok(AppManifest::default()),
        Err(error) => {
            return Err(
                CliError::new(Exit::InvalidArgument, format!("could not read {}", path.display())).caused_by(&error)
            );
        }
    };
    AppManifest::parse_compiled(&text).map_err(|errors| {
        CliError::new(Exit::InvalidArgument, format!("could not use {}", path.display())).because(errors.to_string())
    })
}

/// The app that is meant: the one that is named, else the manifest's, else the folder's name.
fn app_id(
    connection: &Connection,
    named: Option<&str>,
    manifest: &AppManifest,
    dir: &Path,
) -> Result<String, CliError> {
    if let Some(named) = named {
        return connection.app(named);
    }
    let name = match &manifest.name {
        Some(name) => name.clone(),
        None => project::name(dir),
    };
    match &manifest.org {
        Some(org) => connection.app(&format!("{org}/{name}")),
        None => connection.app(name.as_str()),
    }
}
