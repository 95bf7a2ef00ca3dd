//! Bounds of a group.

use std::fs;
use std::io;
use std::path::Path;

use crate::controller::Controller;
use crate::group::Group;
use crate::place::Version;

/// The time over which processor shares are counted, in microseconds.
const PERIOD_US: u64 = 100_000;

/// How much memory a group may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// In bytes, of memory and swap together.
    pub bytes: u64,
    /// Whether the kernel, out of memory, ends the whole group rather than its largest process. v1 cannot.
    pub end_together: bool,
}

impl Group {
    /// Holds memory.
    ///
    /// # Errors
    /// When the group does not [have](Group::has) it or the system refuses. That swap is not counted on this machine is no
    /// error.
    pub fn hold_memory(&self, limit: MemoryLimit) -> io::Result<()> {
        let (folder, version) = self.holding(Controller::Memory)?;
        let bytes = limit.bytes.to_string();
        match version {
            Version::One => {
                let set = write(folder, "memory.limit_in_bytes", &bytes);
                let with_swap = write(folder, "memory.memsw.limit_in_bytes", &bytes);
                // Memory alone can never have more than memory and swap together, which may have been less until now.
                match (set, with_swap) {
                    (Err(_), Ok(())) => write(folder, "memory.limit_in_bytes", &bytes),
                    (set, _) => set,
                }
            }
            Version::Two => {
                write(folder, "memory.max", &bytes)?;
                // Where swap is not counted there is no such file, and before Linux 4.19 not the other.
                let _ = write(folder, "memory.swap.max", "0");
                let _ = write(folder, "memory.oom.group", if limit.end_together { "1" } else { "0" });
                Ok(())
            }
        }
    }

    /// Holds the processor share, in thousandths of one processor, at least 10. What was left unused may be used in a burst of as
    /// much again, where the kernel knows that (since Linux 5.14).
    ///
    /// # Errors
    /// When the group does not [have](Group::has) it or the system refuses.
    pub fn hold_cpu(&self, millicores: u32) -> io::Result<()> {
        let (folder, version) = self.holding(Controller::Cpu)?;
        let quota = (u64::from(millicores) * PERIOD_US / 1000).to_string();
        let burst = match version {
            Version::One => "cpu.cfs_burst_us",
            Version::Two => "cpu.max.burst",
        };
        // A burst above the new share would be refused.
        let _ = write(folder, burst, "0");
        match version {
            Version::One => {
                write(folder, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
                write(folder, "cpu.cfs_quota_us", &quota)?;
            }
            Version::Two => write(folder, "cpu.max", &format!("{quota} {PERIOD_US}"))?,
        }
        let _ = write(folder, burst, &quota);
        Ok(())
    }

    /// Holds the number of processes and threads.
    ///
    /// # Errors
    /// When the group does not [have](Group::has) it or the system refuses.
    pub fn hold_pids(&self, max: u64) -> io::Result<()> {
        let (folder, _) = self.holding(Controller::Pids)?;
        write(folder, "pids.max", &max.to_string())
    }

    fn holding(&self, controller: Controller) -> io::Result<(&Path, Version)> {
        self.place(controller)
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, format!("the group does not hold {controller}")))
    }
}

/// One write, as the kernel wants it, and which file it was.
fn write(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    fs::write(folder.join(file), text).map_err(|error| {
        io::Error::new(error.kind(), format!("could not write {text} to {}: {error}", folder.join(file).display()))
    })
}
