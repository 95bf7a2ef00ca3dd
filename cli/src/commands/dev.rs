//! `ignite dev`: compiles and serves a project, and again after each change that compiles.

use std::path::Path;

use ignite_compiler_builder::{Builder, Cancel, Compiled};
use ignite_core_model::Digest;
use ignite_runtimes_executor::Health;
use ignite_runtimes_host::Host;
use tokio::runtime::Runtime;

use crate::args::DevArgs;
use crate::dev::watch::{Wake, Watch};
use crate::exit::{CliError, Exit};
use crate::project::{self, Wanted};
use crate::serve::{self, Served};
use crate::settings::Settings;
use crate::stops::Stops;
use crate::ui::{Ui, size, time};

pub(crate) fn run(args: &DevArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let root = args.dir.canonicalize().map_err(|error| {
        CliError::new(Exit::InvalidArgument, format!("could not open `{}`", args.dir.display())).caused_by(&error)
    })?;
    let (mut watch, stop) = Watch::new(&root).map_err(|error| {
        CliError::new(Exit::Unavailable, format!("could not watch `{}`", root.display()))
            .caused_by(&error)
            .hint("the system's limit of watches may be reached: see fs.inotify.max_user_watches")
    })?;
    let runtime = serve::runtime()?;
    let cancel = Cancel::default();
    let stops = Stops::listen(&runtime, {
        let cancel = cancel.clone();
        move || {
            cancel.cancel();
            stop.stop();
        }
    })?;
    let artifact = project::kept_artifact(settings, &root)?;
    let mut dev = Dev {
        builder: project::builder(settings, args.build.allow_unsandboxed),
        wanted: Wanted { quick: true, show_lines: false, cancel, ..Wanted::new(&args.build)? },
        root: &root,
        artifact: &artifact,
        port: args.port,
        settings,
        runtime: &runtime,
        stops: &stops,
        host: None,
        serving: None,
    };
    let ended = dev.serve_changes(&mut watch, ui);
    if let Some(host) = dev.host.take() {
        ui.say("stopping; press Ctrl-C again to stop at once");
        runtime.block_on(serve::stop(host, &stops));
    }
    let _ = std::fs::remove_file(&artifact);
    ended.map(|()| Exit::Done)
}

/// One session.
struct Dev<'a> {
    builder: Builder,
    wanted: Wanted,
    root: &'a Path,
    artifact: &'a Path,
    port: u16,
    settings: &'a Settings,
    runtime: &'a Runtime,
    stops: &'a Stops,
    host: Option<Host>,
    /// What is served: the artifact and the app's environment.
    serving: Option<(Digest, Vec<(String, String)>)>,
}

impl Dev<'_> {
    /// Compiles and serves until the person stops; a fault of the code is told and waited out.
    fn serve_changes(&mut self, watch: &mut Watch, ui: &mut Ui) -> Result<(), CliError> {
        loop {
            match project::compile(&self.builder, self.root, self.artifact, &self.wanted, ui) {
                Ok(compiled) => self.serve(&compiled, ui)?,
                Err(_) if self.wanted.cancel.is_cancelled() => return Ok(()),
                Err(error) => {
                    ui.fail(&error);
                    self.still_serving(ui);
                }
            }
            match watch.next() {
                Wake::Changed => {}
                Wake::Stop => return Ok(()),
            }
        }
    }

    /// Serves what was compiled, unless it is what is served already.
    fn serve(&mut self, compiled: &Compiled, ui: &mut Ui) -> Result<(), CliError> {
        let now = (compiled.digest, project::environment(self.root));
        if self.serving.as_ref() == Some(&now) {
            return Ok(());
        }
        let outcome = match &self.host {
            None => match self.start() {
                Ok(Some(host)) => {
                    ui.say(&format!("serving http://{}", host.address()));
                    self.host = Some(host);
                    Ok(())
                }
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            },
            Some(host) => {
                let source = serve::source(self.artifact);
                let swapped = self.runtime.block_on(async {
                    tokio::select! {
                        swapped = host.swap(&source, now.1.clone()) => Some(swapped),
                        () = self.stops.first() => None,
                    }
                });
                let Some(swapped) = swapped else { return Ok(()) };
                swapped.map_err(|error| serve::failed(&error, self.port))
            }
        };
        match outcome {
            Ok(()) => {
                let (bytes, elapsed) = (size(compiled.bytes), time(compiled.elapsed));
                ui.say(&format!("version {} is live: {bytes}, compiled in {elapsed}", &now.0.to_hex()[..8]));
                self.serving = Some(now);
                Ok(())
            }
            // A port that is taken does not become free by a change of the code.
            Err(error) if self.host.is_none() && error.exit != Exit::Failed => Err(error),
            Err(error) => {
                ui.fail(&error);
                self.still_serving(ui);
                Ok(())
            }
        }
    }

    /// The first version; `None` when the person has asked to stop meanwhile.
    fn start(&self) -> Result<Option<Host>, CliError> {
        let served = Served { source: self.root, artifact: self.artifact, port: self.port, expose_errors: Some(true) };
        let config = serve::config(&served, self.settings)?;
        self.runtime.block_on(async {
            let host = Host::start(config).await.map_err(|error| serve::failed(&error, self.port))?;
            let health = tokio::select! {
                health = host.started() => Some(health),
                () = self.stops.first() => None,
            };
            match health {
                Some(Health::Failed(reason)) => {
                    serve::stop(host, self.stops).await;
                    Err(CliError::new(Exit::Failed, "the handler could not be loaded").because(reason))
                }
                Some(_) => Ok(Some(host)),
                None => {
                    serve::stop(host, self.stops).await;
                    Ok(None)
                }
            }
        })
    }

    fn still_serving(&self, ui: &mut Ui) {
        ui.say(match &self.serving {
            Some(_) => "the version before is still served; waiting for a change",
            None => "waiting for a change",
        });
    }
}
