//! A backend that runs nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ignite_core_model::{InstanceId, InstanceSpec};

use crate::{Backend, LogLine, Report, Reports, Said};

/// Where nothing answers.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a fake instance does once it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// It is healthy at once.
    Healthy,
    /// It never becomes healthy, and waits to be drained.
    Hangs,
    /// It ends before it is healthy.
    Fails(String),
}

/// A backend that runs nothing and does what a test says.
#[derive(Clone, Default)]
pub struct FakeBackend(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    behaviour: Option<Behaviour>,
    running: HashMap<InstanceId, (Arc<InstanceSpec>, Reports)>,
    started: u64,
}

impl FakeBackend {
    /// What instances do that are started from now on; without this they are healthy.
    pub fn set(&self, behaviour: Behaviour) {
        self.state().behaviour = Some(behaviour);
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> Vec<(InstanceId, Arc<InstanceSpec>)> {
        self.state().running.iter().map(|(id, (spec, _))| (*id, Arc::clone(spec))).collect()
    }

    /// How many were ever started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.state().started
    }

    /// Ends an instance as if it had died.
    pub fn kill(&self, id: InstanceId) {
        if let Some((_, reports)) = self.state().running.remove(&id) {
            say(&reports, id, Said::Ended { failed: None });
        }
    }

    /// Lets an instance fail its probe, or answer it again.
    pub fn probe(&self, id: InstanceId, answer: Result<(), String>) {
        let said = match answer {
            Ok(()) => Said::Healthy(ADDRESS.into()),
            Err(reason) => Said::Unhealthy(reason),
        };
        self.say(id, said);
    }

    /// Lets an instance write a line.
    pub fn write(&self, id: InstanceId, text: &str) {
        let line = LogLine {
            instance_id: id.to_string(),
            stream: "stdout".to_owned(),
            level: "info".to_owned(),
            text: text.to_owned(),
            ..LogLine::default()
        };
        self.say(id, Said::Line(line));
    }

    fn say(&self, id: InstanceId, said: Said) {
        if let Some((_, reports)) = self.state().running.get(&id) {
            say(reports, id, said);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for FakeBackend {
    fn start(&self, id: InstanceId, spec: Arc<InstanceSpec>, reports: Reports) {
        let mut state = self.state();
        state.started += 1;
        match state.behaviour.clone().unwrap_or(Behaviour::Healthy) {
            Behaviour::Healthy => say(&reports, id, Said::Healthy(ADDRESS.into())),
            Behaviour::Hangs => {}
            Behaviour::Fails(reason) => {
                say(&reports, id, Said::Ended { failed: Some(reason) });
                return;
            }
        }
        state.running.insert(id, (spec, reports));
    }

    fn drain(&self, id: InstanceId) {
        self.kill(id);
    }
}

/// Tests make far fewer reports than there is room for; one too many is lost, which a test notices.
fn say(reports: &Reports, id: InstanceId, said: Said) {
    let _ = reports.try_send(Report { id, said });
}
