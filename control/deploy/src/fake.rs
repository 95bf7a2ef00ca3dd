//! A backend that runs nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ignite_core_model::InstanceId;

use crate::{Backend, InstanceSpec, Report, Reports, Said};

/// What a fake instance does once it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// It is healthy at once.
    Healthy,
    /// It never becomes healthy.
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for FakeBackend {
    fn start(&self, id: InstanceId, spec: Arc<InstanceSpec>, reports: Reports) {
        let mut state = self.state();
        state.started += 1;
        match state.behaviour.clone().unwrap_or(Behaviour::Healthy) {
            Behaviour::Healthy => say(&reports, id, Said::Healthy(SocketAddr::from(([127, 0, 0, 1], 1)))),
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
