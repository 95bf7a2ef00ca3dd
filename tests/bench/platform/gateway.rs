//! What the gateway costs: the same host asked directly and through it, in turn.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ignite_tests::platform::Platform;

use super::{RUNTIMES, publish, source};
use crate::contenders;
use crate::generator::{Address, Answers, Dialect, Handler, Load, Request, run};
use crate::kit::Kit;
use crate::report::table::Table;
use crate::rounds::median;
use crate::server::Server;
use crate::tree;

/// Rounds of each measurement, and how long one takes.
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);

/// Connections of the throughput.
const CONNECTIONS: usize = 64;

/// One way to the handler.
struct Way<'a> {
    name: &'static str,
    address: Address,
    request: Request,
    /// Whose processor time is counted.
    root: u32,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    cpu_us: Vec<f64>,
    first_us: Vec<f64>,
    _held: Option<&'a Server>,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, address: Address, request: Request, root: u32, held: Option<&'a Server>) -> Self {
        Self {
            name,
            address,
            request,
            root,
            per_second: vec![],
            p50_us: vec![],
            cpu_us: vec![],
            first_us: vec![],
            _held: held,
        }
    }

    fn load(&self, connections: usize, time: Duration) -> Result<Load> {
        let load = run(&self.address, &self.request, connections, time, &mut || ())?;
        ensure!(load.errors == 0, "{}: {} errors, the first: {:?}", self.name, load.errors, load.first_error);
        Ok(load)
    }
}

/// Measures latency at one connection and throughput at many.
pub(super) fn measure(platform: &Platform, kit: &Kit, quick: bool) -> Result<String> {
    let (rounds, time) = if quick { (1, Duration::from_millis(300)) } else { (ROUNDS, TIME) };
    crate::say("platform: the gateway");
    let rust = RUNTIMES.iter().find(|runtime| runtime.name == "Rust").context("there is a Rust app")?;
    // An instance that stays while this is measured.
    // A tier with as many cores as the host beside it has.
    let config = serde_json::json!({
        "resourceTier": "RESOURCE_TIER_XLARGE",
        "scaling": { "maxReplicas": 1, "reserved": 1, "idleSecs": 60 },
    });
    platform.call("UpdateAppConfig", &serde_json::json!({ "appId": rust.app, "config": config }))?;
    platform.save_for(rust.app, &source(kit, rust), &(rust.runtime)())?;
    publish(platform, rust.app)?;
    let contender = contenders::all().into_iter().find(|one| one.name == "Rust").context("Rust is a contender")?;
    let prepared = (contender.prepare)(kit)?;
    let server = Server::start_with(&contender, &prepared, &[("IGNITE_MAX_CONCURRENCY", "64")])?;
    let gateway = Address::Tcp(platform.gateway.parse()?);
    let headers = format!("authorization: Bearer {}\r\n", platform.token);
    let mut ways = [
        Way::new(
            "host alone",
            server.address.clone(),
            Request::new(Handler::Hello, Dialect::Http, Answers::Greeting),
            server.pid(),
            Some(&server),
        ),
        Way::new(
            "through the gateway",
            gateway,
            Request::to_host(Handler::Hello, &platform.host(rust.app), &headers),
            platform.pid(),
            None,
        ),
    ];
    for _ in 0..rounds {
        for way in &mut ways {
            way.load(CONNECTIONS, time / 8)?;
            let one = way.load(1, time)?;
            way.p50_us.push(one.latency.value_at_quantile(0.5) as f64 / 1e3);
            let before = tree::cpu(way.root);
            let many = way.load(CONNECTIONS, time)?;
            let cpu = tree::cpu(way.root) - before;
            way.cpu_us.push(cpu.all * 1e6 / many.answers.max(1) as f64);
            way.first_us.push(cpu.first * 1e6 / many.answers.max(1) as f64);
            way.per_second.push(many.per_second);
        }
    }
    let mut table = Table::new(&[
        "Rust hello",
        "p50, 1 connection",
        "requests/s, 64 connections",
        "processor time a request",
        "of it the first process",
    ]);
    let middle = |figures: &[f64]| median(figures).unwrap_or_default();
    for way in &ways {
        table.row(&[
            way.name.to_owned(),
            format!("{:.0} µs", middle(&way.p50_us)),
            format!("{:.0}", middle(&way.per_second)),
            format!("{:.1} µs", middle(&way.cpu_us)),
            format!("{:.1} µs", middle(&way.first_us)),
        ]);
    }
    let [direct, through] = &ways;
    let ratios: Vec<f64> =
        direct.per_second.iter().zip(&through.per_second).map(|(direct, through)| through / direct).collect();
    Ok(format!(
        "{}\nThe gateway adds {:.0} µs at one connection (aim: 150 µs) and passes {:.2} of the host's throughput (aim: 0.6); \
         load generator, gateway and host share the machine's cores. \
         The first process is the host, or the gateway with all that is in its process. {rounds} rounds of {} s, in turn.\n",
        table.finish(),
        middle(&through.p50_us) - middle(&direct.p50_us),
        middle(&ratios),
        time.as_secs_f64()
    ))
}
