//! What a builder waits for, for its probe.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The sandbox, and the folders of the cache.
    Sandbox,
    /// The records: jobs and logs.
    Records,
    /// The store of sources and artifacts.
    Objects,
    /// The queue: the last look at it failed.
    Queue,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "the sandbox",
            Self::Records => "the records",
            Self::Objects => "the object store",
            Self::Queue => "the queue",
        }
    }
}

/// Whether a builder takes jobs, and if not, what it waits for.
#[derive(Debug, Default)]
pub struct Status(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waits: Vec<(Part, String)>,
    drains: bool,
}

impl Status {
    /// A status that waits for these, of which nothing is known yet.
    #[must_use]
    pub fn waiting_for(parts: &[Part]) -> Self {
        let waits = parts.iter().map(|part| (*part, "not looked at yet".to_owned())).collect();
        Self(Mutex::new(State { waits, drains: false }))
    }

    /// It waits for this part, and why.
    pub fn waits(&self, part: Part, why: impl Into<String>) {
        let mut state = self.lock();
        state.waits.retain(|(other, _)| *other != part);
        state.waits.push((part, why.into()));
        state.waits.sort();
    }

    /// The part is there.
    pub fn has(&self, part: Part) {
        self.lock().waits.retain(|(other, _)| *other != part);
    }

    /// It takes no more jobs, because it ends.
    pub fn drains(&self) {
        self.lock().drains = true;
    }

    /// Nothing if it takes jobs, else a line for each thing it waits for.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let state = self.lock();
        if state.drains {
            return Some("drains: it ends, and takes no more jobs\n".to_owned());
        }
        let lines = state.waits.iter().map(|(part, why)| format!("waits for {}: {why}\n", part.as_str()));
        (!state.waits.is_empty()).then(|| lines.collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_all_that_it_waits_for() {
        let status = Status::waiting_for(&[Part::Records, Part::Objects]);
        status.waits(Part::Objects, "refused");
        let words = status.not_ready().unwrap_or_default();
        assert_eq!(words, "waits for the records: not looked at yet\nwaits for the object store: refused\n");
        status.has(Part::Objects);
        status.has(Part::Records);
        assert_eq!(status.not_ready(), None);
        status.drains();
        assert!(status.not_ready().is_some_and(|words| words.starts_with("drains")));
    }
}
