//! The app whose handlers outlive their time, served with one slot.

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::client::Client;
use crate::host::Host;
use crate::product::{compile, repository};

/// Its handlers that a cancel does not stop.
pub const STUBBORN: [&str; 6] =
    ["spins", "sleeps_in_c", "hashes_in_c", "catches_everything", "forks_twice", "leaves_its_group"];

/// A host, and the lock that each execution takes.
pub struct Clocks {
    /// The host.
    pub host: Host,
    dir: TempDir,
}

impl Clocks {
    /// Compiles `tests/cases/apps/clocks` and serves it with these variables.
    ///
    /// # Errors
    /// When it cannot be compiled or served.
    pub fn serve(env: &[(&str, &str)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let artifact = compile(&repository().join("tests/cases/apps/clocks"), dir.path(), &[])?;
        let env: Vec<_> = env.iter().copied().chain([("IGNITE_MAX_CONCURRENCY", "1")]).collect();
        Ok(Self { host: Host::serve(&artifact, &env)?, dir })
    }

    fn lock(&self) -> String {
        self.dir.path().join("lock").display().to_string()
    }

    /// Sends a request to the handler `way`; its answer is still to be read.
    ///
    /// # Errors
    /// When the host takes no connection.
    pub fn send(&self, way: &str, headers: &str) -> Result<Client> {
        let mut client = Client::connect(self.host.address())?;
        client.request("POST", &format!("/{way}"), headers, self.lock().as_bytes())?;
        Ok(client)
    }

    /// Asks of the executions so far that no two ran at once.
    ///
    /// # Errors
    /// Which did.
    pub fn never_two_at_once(&self) -> Result<()> {
        let overlaps = std::fs::read_to_string(self.lock() + ".overlap").unwrap_or_default();
        ensure!(overlaps.is_empty(), "ran beside another: {overlaps}");
        Ok(())
    }
}
