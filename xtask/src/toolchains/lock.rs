//! One installer at a time.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::log::say;

/// Longer than any installation takes.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30 * 60);

/// Takes the lock at `path`; it is given back when the file is dropped, however the program ends.
pub(super) fn take(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("could not make {}", path.display()))?;
    let started = Instant::now();
    let mut said = false;
    while file.try_lock().is_err() {
        if !std::mem::replace(&mut said, true) {
            say("another run installs toolchains; waiting for it");
        }
        if started.elapsed() > LOCK_WAIT_MAX {
            bail!("{} is held by another run for too long", path.display());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(file)
}
