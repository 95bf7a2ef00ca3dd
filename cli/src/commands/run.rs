//! `ignite run`

use std::path::{Path, PathBuf};

use ignite_runtimes_executor::Health;
use ignite_runtimes_host::Host;

use crate::args::RunArgs;
use crate::exit::{CliError, Exit};
use crate::project::{self, Wanted};
use crate::serve::{self, Served};
use crate::settings::Settings;
use crate::ui::Ui;

/// The name of an unpacked artifact's manifest; a folder that has it is served as it is.
const UNPACKED: &str = ignite_core_artifact::MANIFEST_NAME;

pub(crate) fn run(args: &RunArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let kept = Kept::for_source(args, settings, ui)?;
    let served = Served { source: &args.source, artifact: kept.artifact(), port: args.port, expose_errors: None };
    let config = serve::config(&served, settings)?;
    serve::runtime()?.block_on(async {
        let host = Host::start(config).await.map_err(|error| serve::failed(&error, args.port))?;
        if let Health::Failed(reason) = host.started().await {
            serve::stop(host).await;
            return Err(CliError::new(Exit::Failed, "the handler could not be loaded").because(reason));
        }
        ui.say(&format!("serving http://{}", host.address()));
        serve::asked_to_stop().await;
        ui.say("stopping; press Ctrl-C again to stop at once");
        serve::stop(host).await;
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
        project::compile(&project::builder(settings), source, &out, &Wanted::new(&args.build)?, ui)?;
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
