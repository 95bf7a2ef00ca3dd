//! From zero to an answer: an app without an instance is called by its hostname.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ignite_tests::platform::Platform;

use super::{RUNTIMES, milliseconds};
use crate::report::table::Table;

/// Calls of each app.
pub(super) const ROUNDS: usize = 25;

/// Time for the warm pool to be filled again after an app has gone to zero.
const REFILL: Duration = Duration::from_millis(300);

/// Calls each app when it has no instance, in turn.
pub(super) fn measure(platform: &Platform, rounds: usize) -> Result<String> {
    let mut took = RUNTIMES.map(|_| Vec::with_capacity(rounds));
    for round in 1..=rounds {
        crate::say(&format!("platform: from zero, round {round} of {rounds}"));
        for (runtime, took) in RUNTIMES.iter().zip(&mut took) {
            platform.wait_state(runtime.app, |state| state["deploymentState"] == "DEPLOYMENT_STATE_IDLE")?;
            std::thread::sleep(REFILL);
            let begun = Instant::now();
            let answer = platform.ask(runtime.app, br#"{"name":"Ada","id":"1"}"#)?;
            took.push(begun.elapsed());
            ensure!(
                answer.status == 200 && answer.text().contains("Ada"),
                "{}: {} {}",
                runtime.name,
                answer.status,
                answer.text()
            );
        }
    }
    let mut table = Table::new(&["From zero to an answer", "p50", "p90", "most", "aim (p50)"]);
    for (runtime, took) in RUNTIMES.iter().zip(&mut took) {
        took.sort();
        let at = |share: usize| milliseconds(took[(took.len() * share / 100).min(took.len() - 1)]);
        table.row(&[runtime.name.to_owned(), at(50), at(90), at(100), milliseconds(runtime.aim)]);
    }
    Ok(format!(
        "{}\nAn app without an instance is called through the gateway; one warm host of each runtime waits. {rounds} calls of each.\n",
        table.finish()
    ))
}
