//! `ignite serve`

use crate::args::ServeArgs;
use crate::config;
use crate::exit::{CliError, Exit};
use crate::platform::{Data, Platform, PlatformOptions, Stores, log, stores};
use crate::serve;
use crate::settings::Settings;
use crate::stops::Stops;
use crate::ui::Ui;

pub(crate) fn run(args: &ServeArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let data = Data::of(args.stores.data.as_deref(), settings)?;
    let options = PlatformOptions {
        data: data.clone(),
        stores: Stores::of(&args.stores, &data, settings)?,
        api_port: args.api_port,
        gateway_port: args.gateway_port,
        base_domain: args.base_domain.clone(),
        warm_per_runtime: args.warm,
        allow_unsandboxed: args.allow_unsandboxed,
    };
    let filter = (settings.env)("IGNITE_LOG").map(|text| text.to_string_lossy().into_owned());
    log::start(filter.as_deref());
    let runtime = serve::runtime()?;
    let stops = Stops::listen(&runtime, || ())?;
    runtime.block_on(async {
        let mut platform = tokio::select! {
            started = Platform::start(options, settings) => started?,
            () = stops.first() => return Ok(Exit::Done),
        };
        ui.say(&format!("API      http://{}", platform.api_address()));
        let port = platform.url.port.map_or_else(String::new, |port| format!(":{port}"));
        ui.say(&format!("apps     http://<app>-<org>.{}{port}", platform.url.base_domain));
        if let Some(admin) = platform.gateway_admin() {
            ui.say(&format!("metrics  http://{admin}/metrics"));
        }
        ui.say(&format!("         http://{}/metrics (executions)", platform.control_admin()));
        ui.say(&format!("data     {}", data.folder().display()));
        if let Some(token) = &platform.first_token {
            ui.say(&format!("token    {} (organisation {}; it is shown once)", token.secret, token.organization));
            let endpoint = format!("http://{}", platform.api_address());
            // Of no use to anyone but who started it; the platform serves either way.
            match config::adopt(&settings.env, &endpoint, &token.secret, token.organization.as_str()) {
                Ok(Some(path)) => ui.say(&format!("config   {}", path.display())),
                Ok(None) => ui.say("config   is somebody's own already: `ignite login` takes the token"),
                Err(error) => drop(ui.fail(&error)),
            }
        }
        let lost = tokio::select! {
            () = stops.first() => false,
            () = platform.lost() => true,
        };
        let at_once = async { if lost { stops.first().await } else { stops.second().await } };
        ui.say(if lost {
            "another `ignite serve` has the records of this platform: stopping; press Ctrl-C to stop at once"
        } else {
            "stopping; press Ctrl-C again to stop at once"
        });
        tokio::select! {
            () = platform.drain() => (),
            () = at_once => (),
        }
        if lost {
            let hint = "stop the other one and start this one again, or name another database with --store";
            return Err(stores::taken("could not keep the records of this platform").hint(hint));
        }
        Ok(Exit::Done)
    })
}
