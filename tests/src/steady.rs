//! A steady load in the background, every request of which is reconciled with what came back for it.
//!
//! Each request has an execution id and a body of its own. An answer counts as its own only with both of them, and nothing
//! may come that nobody asked for. So a request that is lost, answered twice or given another's answer is seen, whatever
//! fault was injected meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::client::{Answer, Client};

/// Requests in a second, unless said otherwise.
pub const PER_SECOND: u32 = 200;
/// Connections over which they go, unless said otherwise; each has one request under way at most.
pub const CONNECTIONS: usize = 8;
/// Requests that are sent at least, however short the fault was.
const REQUESTS_MIN: u64 = 100;
/// Longest body, in bytes. Long enough that bodies span several reads, short enough for many.
const BODY_BYTES_MAX: usize = 3000;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to.
    pub address: String,
    /// The hostname that requests name.
    pub host: String,
    /// The path of a handler that gives its payload back.
    pub path: &'static str,
    /// Further header lines, each with its line end.
    pub headers: String,
    /// Requests in a second, over all connections together.
    pub per_second: u32,
    /// Connections.
    pub connections: usize,
    /// Whether a gateway stands before the host: it gives ids of its own, and tells the version that answered.
    pub through_gateway: bool,
}

impl Plan {
    /// 200 requests in a second to `/echo` of `address`, over eight connections.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            host: "test".to_owned(),
            path: "/echo",
            headers: String::new(),
            per_second: PER_SECOND,
            connections: CONNECTIONS,
            through_gateway: false,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200, with its own id and body.
    Own,
    /// An error of the host's, with its own id.
    Refused {
        /// The status.
        status: u16,
        /// The `type` of the body.
        kind: String,
    },
    /// No answer came, or half of one.
    Lost(String),
    /// What came belongs to another request, or to none.
    Crossed(String),
}

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Reconciled {
    /// Its number.
    pub number: u64,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was whole, or was known not to come.
    pub ended: Instant,
    /// What came.
    pub outcome: Outcome,
    /// The version of the app that answered, where a gateway told it.
    pub version: Option<u32>,
}

/// A load that goes on until [`Steady::finish`].
pub struct Steady {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    own: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Reconciled>>>,
}

impl Steady {
    /// Begins to send.
    #[must_use]
    pub fn start(plan: &Plan) -> Self {
        // Ids of different loads must differ too.
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let load = LOADS.fetch_add(1, Ordering::Relaxed);
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let own = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let clients = (0..plan.connections as u64)
            .map(|first| {
                let (plan, stop, done, own) = (plan.clone(), Arc::clone(&stop), Arc::clone(&done), Arc::clone(&own));
                thread::spawn(move || Sender { plan, load, begun, client: None }.run(first, &stop, &done, &own))
            })
            .collect();
        Self { stop, done, own, clients }
    }

    /// Requests that are reconciled so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until one further request has its own answer, but no longer than `wait`.
    ///
    /// # Errors
    /// When none has.
    pub fn wait_served(&self, wait: Duration) -> Result<()> {
        let (before, deadline) = (self.own.load(Ordering::Relaxed), Instant::now() + wait);
        while self.own.load(Ordering::Relaxed) == before {
            ensure!(Instant::now() < deadline, "no request was served for {wait:?}");
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits until `count` further requests are reconciled, but no longer than `wait`.
    ///
    /// # Errors
    /// When they are not.
    pub fn wait_further(&self, count: u64, wait: Duration) -> Result<()> {
        let (wanted, deadline) = (self.done() + count, Instant::now() + wait);
        while self.done() < wanted {
            ensure!(Instant::now() < deadline, "{} of {wanted} requests after {wait:?}", self.done());
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Lets each connection finish what it has sent, and gives the account.
    ///
    /// # Panics
    /// When a sender has.
    #[must_use]
    pub fn finish(self) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let join = |client: JoinHandle<Vec<Reconciled>>| client.join().expect("no sender panics");
        let mut requests: Vec<Reconciled> = self.clients.into_iter().flat_map(join).collect();
        requests.sort_by_key(|request| request.number);
        Account { requests }
    }
}

struct Sender {
    plan: Plan,
    load: u64,
    begun: Instant,
    client: Option<Client>,
}

impl Sender {
    fn run(mut self, first: u64, stop: &AtomicBool, done: &AtomicU64, own: &AtomicU64) -> Vec<Reconciled> {
        let mut requests = Vec::new();
        let mut number = first;
        while !stop.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < REQUESTS_MIN {
            let due = self.begun + Duration::from_secs_f64(number as f64 / f64::from(self.plan.per_second));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            let (outcome, version) = self.one(number);
            if !matches!(outcome, Outcome::Own | Outcome::Refused { .. }) {
                self.client = None;
            }
            if outcome == Outcome::Own {
                own.fetch_add(1, Ordering::Relaxed);
            }
            requests.push(Reconciled { number, sent, ended: Instant::now(), outcome, version });
            done.fetch_add(1, Ordering::Relaxed);
            number += self.plan.connections as u64;
        }
        requests
    }

    fn one(&mut self, number: u64) -> (Outcome, Option<u32>) {
        let id = format!("01JE{:04}{number:018}", self.load % 10_000);
        let mut body = format!("request {number} ").into_bytes();
        body.resize(body.len().max(number as usize * 37 % BODY_BYTES_MAX), b'a' + (number % 26) as u8);
        // What came since the last answer was asked for by nobody. A connection that was closed since is no loss.
        match self.client.as_mut().map(Client::quiet) {
            Some(Err(error)) => return (Outcome::Crossed(format!("{error:#}")), None),
            Some(Ok(false)) | None => match Client::connect(&self.plan.address) {
                Ok(client) => self.client = Some(client),
                Err(error) => return (Outcome::Lost(format!("{error:#}")), None),
            },
            Some(Ok(true)) => {}
        }
        let Some(client) = &mut self.client else { return (Outcome::Lost("no connection".into()), None) };
        let Plan { host, path, headers, .. } = &self.plan;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}x-ignite-execution-id: {id}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = client.send([head.as_bytes(), &body].concat()).and_then(|()| client.answer());
        match answer {
            Ok(answer) => {
                let given = answer.header("x-ignite-execution-id").unwrap_or_default();
                let id = if self.plan.through_gateway && given.len() == id.len() { &given } else { &id };
                let version = answer.header("x-ignite-version").and_then(|text| text.parse().ok());
                (judge(&answer, id, &body), version)
            }
            Err(error) => (Outcome::Lost(format!("{error:#}")), None),
        }
    }
}

fn judge(answer: &Answer, id: &str, body: &[u8]) -> Outcome {
    if answer.header("x-ignite-execution-id").as_deref() != Some(id) {
        return Outcome::Crossed(format!("not {id} but {answer:?}"));
    }
    if answer.status == 200 {
        return if answer.body == body {
            Outcome::Own
        } else {
            Outcome::Crossed(format!("another's body: {answer:?}"))
        };
    }
    let json = answer.json();
    if json["execution_id"] != id {
        return Outcome::Crossed(format!("an error of another: {}", answer.text()));
    }
    Outcome::Refused { status: answer.status, kind: json["type"].as_str().unwrap_or_default().to_owned() }
}

/// Every request that was sent.
#[derive(Debug)]
pub struct Account {
    /// In the order of their numbers.
    pub requests: Vec<Reconciled>,
}

impl Account {
    /// How many there were of each outcome, for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for request in &self.requests {
            let name = match &request.outcome {
                Outcome::Own => "own answer".to_owned(),
                Outcome::Refused { status, kind } => format!("{status} {kind}"),
                Outcome::Lost(_) => "lost".to_owned(),
                Outcome::Crossed(_) => "crossed".to_owned(),
            };
            *counts.entry(name).or_insert(0) += 1;
        }
        counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }

    /// Requests that were answered with 200 and their own body.
    #[must_use]
    pub fn own(&self) -> usize {
        self.requests.iter().filter(|request| request.outcome == Outcome::Own).count()
    }

    /// Checks that each request was answered once, by its own answer, and that the fault was felt by nobody.
    ///
    /// # Errors
    /// With the first that was not.
    pub fn check_unharmed(&self) -> Result<()> {
        self.check(|_, _, _| false)
    }

    /// Checks that each request was answered once, by its own answer or by an error that `allowed` lets pass (status, type,
    /// the request).
    ///
    /// # Errors
    /// With the first that was not.
    pub fn check(&self, allowed: impl Fn(u16, &str, &Reconciled) -> bool) -> Result<()> {
        let wrong = self.requests.iter().find(|request| match &request.outcome {
            Outcome::Own => false,
            Outcome::Refused { status, kind } => !allowed(*status, kind, request),
            Outcome::Lost(_) | Outcome::Crossed(_) => true,
        });
        match wrong {
            Some(wrong) => bail!("{wrong:?}\nof {}", self.summary()),
            None => Ok(()),
        }
    }
}
