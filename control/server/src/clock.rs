//! Time and chance, passed in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ignite_core_model::{ExecutionId, JobId, TokenId};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// 80 bits nobody can guess, for an id.
    fn random(&self) -> u128 {
        rand::random::<u128>() >> 48
    }

    /// A new id of a job.
    fn job_id(&self) -> JobId {
        JobId::from_parts(self.now_ms(), self.random())
    }

    /// A new id of a token.
    fn token_id(&self) -> TokenId {
        TokenId::from_parts(self.now_ms(), self.random())
    }

    /// A new id of an execution.
    fn execution_id(&self) -> ExecutionId {
        ExecutionId::from_parts(self.now_ms(), self.random())
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// A clock that stands at `now_ms`.
    #[must_use]
    pub fn at(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Lets `ms` milliseconds pass.
    pub fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
