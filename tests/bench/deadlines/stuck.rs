//! Requests that run into their limits, and how late each is answered.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ignite_tests::client::Client;

use super::Subject;
use crate::generator::Address;

/// The shortest limit.
const LIMIT_MIN: Duration = Duration::from_millis(60);
/// Limits are spread over this much, in steps that no other clock here has.
const LIMIT_SPREAD_MS: u64 = 90;
const LIMIT_STEP_MS: u64 = 37;

/// One answer at a limit.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// How its execution goes on.
    pub(crate) way: &'static str,
    /// When it arrived, after its limit; before it where negative. In milliseconds.
    pub(crate) late_ms: f64,
    /// How late a thread of this process was woken that slept for the limit at the same time: what the machine adds to
    /// whoever waits. In milliseconds.
    pub(crate) own_ms: f64,
    /// 504, or 503 where it waited to the last and never began.
    pub(crate) status: u16,
}

/// Does `work` while requests of the subject are sent for `time`, and gives back what both came to.
///
/// # Errors
/// When the work fails, or an answer is not that of a limit.
pub(super) fn beside<T>(
    address: &Address,
    subject: &Subject,
    time: Duration,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Vec<Sample>)> {
    let Address::Tcp(address) = address else { bail!("a host listens on TCP") };
    let address = address.to_string();
    let samples = Mutex::new(Vec::new());
    let done = thread::scope(|scope| {
        let (address, samples) = (&address, &samples);
        scope.spawn(move || {
            real_time();
            let begun = Instant::now();
            for (index, way) in (0..).zip(subject.ways.iter().copied().cycle()) {
                let due = Duration::from_secs_f64(index as f64 / subject.per_second);
                if due >= time {
                    break;
                }
                thread::sleep((begun + due).saturating_duration_since(Instant::now()));
                let limit = LIMIT_MIN + Duration::from_millis(index * LIMIT_STEP_MS % LIMIT_SPREAD_MS);
                scope.spawn(move || {
                    let sample = ask(address, way, limit);
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                });
            }
        });
        work()
    })?;
    let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((done, samples.into_iter().collect::<Result<_>>()?))
}

/// Puts this thread, and those it starts, before all others of the usual policies: what is measured is when the answer is
/// there, and not when this machine's generator gets a processor to look. Where it may not, the column of the machine tells.
fn real_time() {
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", "1"]).arg(rustix::thread::gettid().to_string());
    let _ = chrt.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn ask(address: &str, way: &'static str, limit: Duration) -> Result<Sample> {
    let mut client = Client::connect(address)?;
    let headers = format!("x-ignite-timeout-ms: {}\r\n", limit.as_millis());
    let path = format!("/{way}");
    thread::scope(|scope| {
        let own = scope.spawn(move || late_ms(Instant::now(), limit, || thread::sleep(limit)));
        let begun = Instant::now();
        client.request("POST", &path, &headers, b"")?;
        let mut answer = None;
        let late_ms = late_ms(begun, limit, || answer = Some(client.answer()));
        let answer = answer.context("it was asked")??;
        // The last where it waited for a process in place of one that was killed.
        let of_a_limit = [(504, "timeout"), (503, "queue_timeout"), (503, "unavailable")];
        let of_a_limit = of_a_limit.iter().any(|(status, kind)| answer.error(*status, kind).is_ok());
        if !of_a_limit {
            bail!("/{way} was answered {}: {}", answer.status, answer.text());
        }
        let own_ms = own.join().ok().context("a sleeping thread panicked")?;
        Ok(Sample { way, late_ms, own_ms, status: answer.status })
    })
}

/// How much later than `limit` after `begun` it is when `wait` is over, in milliseconds.
fn late_ms(begun: Instant, limit: Duration, wait: impl FnOnce()) -> f64 {
    wait();
    (begun.elapsed().as_secs_f64() - limit.as_secs_f64()) * 1e3
}
