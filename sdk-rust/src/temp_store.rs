//! Scratch values of one execution.

use std::fmt;
use std::sync::Arc;

use crate::execution::Execution;

/// What one execution may keep in its [`TempStore`], in bytes: keys, values, and [`ENTRY_BYTES`] for each entry.
pub const TEMP_STORE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an entry counts besides its key and value, in bytes: about what the map needs for it.
pub const ENTRY_BYTES: usize = 64;

/// Scratch values in memory, by name, for the parts of one execution to share. Gone when the handler returns.
#[derive(Clone)]
pub struct TempStore(Arc<Execution>);

impl TempStore {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self(execution)
    }

    /// Keeps `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// When the store would exceed [`TEMP_STORE_BYTES_MAX`]; what was there stays.
    pub fn put(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Result<(), TempStoreFull> {
        let (key, value) = (key.into(), value.into());
        let mut scratch = self.0.scratch();
        let before = scratch.values.get(&key).map_or(0, |old| weight(&key, old));
        let bytes = scratch.bytes - before + weight(&key, &value);
        if bytes > TEMP_STORE_BYTES_MAX {
            return Err(TempStoreFull { bytes });
        }
        scratch.bytes = bytes;
        scratch.values.insert(key, value);
        Ok(())
    }

    /// A copy of what is kept under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.scratch().values.get(key).cloned()
    }

    /// Takes out what is kept under `key`.
    pub fn remove(&self, key: &str) -> Option<Vec<u8>> {
        let mut scratch = self.0.scratch();
        let value = scratch.values.remove(key)?;
        scratch.bytes -= weight(key, &value);
        Some(value)
    }

    /// The keys, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.scratch().values.keys().cloned().collect()
    }
}

fn weight(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl fmt::Debug for TempStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// The scratch store of an execution would have become too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TempStoreFull {
    bytes: usize,
}

impl fmt::Display for TempStoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "temp store is full: it would hold {} of at most {TEMP_STORE_BYTES_MAX} bytes", self.bytes)
    }
}

impl std::error::Error for TempStoreFull {}
