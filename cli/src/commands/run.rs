//! `ignite run`

use std::path::{Path, PathBuf};

use ignite_runtimes_executor::Health;
use ignite_runtimes_host::Host;

use crate::args::RunArgs;
use crate::exit::{CliError, Exit};
use crate::project::{self, Wanted};
use crate::serve::{self, Served};
use crate::settings::Settings;
use crate::stops::Stops;
use crate::ui::Ui;

/// The name of an unpacked artifact's manifest; a folder that has it is served as it is.
const UNPACKED: &str = ignite_core_artifact::MANIFEST_NAME;

pub(crate) fn run(args: &RunArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let kept = Kept::for_source(args, settings, ui)?;
    let served = Served { source: &args.source, artifact: kept.artifact(), port: args.port, expose_errors: None };
    let config = serve::config(&served, settings)?;
    let runtime = serve::runtime()?;
    let stops = Stops::listen(&runtime, || ())?;
    runtime.block_on(async {
        let started = tokio::select! {
            started = Host::start(config) => started,
            () = stops.first() => return Ok(Exit::Done),
        };
        let host = started.map_err(|error| serve::failed(&error, args.port))?;
        let health = tokio::select! {
            health = host.started() => Some(health),
            // A handler that takes its time to load is not waited for.
            () = stops.first() => None,
        };
        if let Some(Health::Failed(reason)) = health {
            serve::stop(host, &stops).await;
            return Err(CliError::new(Exit::Failed, "the handler could not be loaded").because(reason));
        }
        if health.is_some() {
            ui.say(&format!("serving http://{}", host.address()));
            stops.first().await;
        }
        ui.say("stopping; press Ctrl-C again to stop at once");
        serve::stop(host, &stops).await;
        Ok(Exit::Done)
    })
}

/// The artifact to serve: the person's own, or one made for this run and removed after it.
enum Kept {
    Given(PathBuf),
    Made(PathBuf),
}

impl Kept {
    fn for_source(args: &RunArgs, settings: &Settings, ui: &mut Ui) -> Result<Self, CliError> {
        let source = &args.source;
        let is_component = source.extension().is_some_and(|kind| kind == "wasm");
        if (source.is_file() && !is_component) || source.join(UNPACKED).is_file() {
            return Ok(Self::Given(source.clone()));
        }
        let out = project::kept_artifact(settings, source)?;
        project::compile(
            &project::builder(settings, args.build.allow_unsandboxed),
            source,
            &out,
            &Wanted::new(&args.build)?,
            ui,
        )?;
        Ok(Self::Made(out))
    }

    fn artifact(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Made(path) => path,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Self::Made(path) = self {
            // What stays behind lies in the cache and is replaced by the next run.
            let _ = std::fs::remove_file(path);
        }
    }
}
