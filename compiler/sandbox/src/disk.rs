//! How much a step has written to the folders it may write to.
//!
//! There is no quota that every machine has and every user may set. So the file systems are asked, which is cheap, how
//! much is used of them; only when that grew, or after a while, the folders are walked, and of the files that changed since
//! the step began the sizes on disk are added up. A file that is deleted and held open is seen by neither; against it, and
//! against anything else, a step is also stopped when a file system is nearly full.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::step::{Bound, StepLimits};

/// A file system with less than this left is nearly full, in bytes; where it had less than twice that to begin with, half
/// of what it had.
const LEFT_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// The folders are walked at least this often, unless that takes long.
const WALK_EVERY: Duration = Duration::from_secs(10);
/// A walk takes at most this part of the time.
const WALK_PART: u32 = 20;
/// Steps of growth after which the folders are walked: this part of the limit.
const GROWTH_PART: u64 = 8;

/// Watches over what is written.
pub(crate) struct Disk {
    folders: Vec<PathBuf>,
    began: SystemTime,
    left_min: u64,
    seen: Space,
    walk_at: Instant,
    limits: StepLimits,
}

/// Of all file systems together.
#[derive(Debug, Clone, Copy, Default)]
struct Space {
    used_bytes: u64,
    used_files: u64,
    /// The least of them.
    left_bytes: u64,
}

impl Disk {
    pub(crate) fn new(folders: Vec<PathBuf>, limits: &StepLimits) -> Self {
        let seen = space(&folders);
        Self {
            folders,
            // File systems tell time in ticks of the clock, and a file made now may bear an earlier one.
            began: SystemTime::now() - Duration::from_millis(20),
            left_min: LEFT_BYTES_MIN.min(seen.left_bytes / 2),
            seen,
            walk_at: Instant::now() + WALK_EVERY,
            limits: *limits,
        }
    }

    /// Which bound is reached now.
    pub(crate) fn look(&mut self) -> Option<Bound> {
        if self.folders.is_empty() {
            return None;
        }
        let space = space(&self.folders);
        if space.left_bytes < self.left_min {
            return Some(Bound::DiskFull);
        }
        let grew = space.used_bytes.saturating_sub(self.seen.used_bytes) > self.limits.disk_bytes_max / GROWTH_PART
            || space.used_files.saturating_sub(self.seen.used_files) > self.limits.disk_files_max / GROWTH_PART;
        if grew || Instant::now() >= self.walk_at {
            self.seen = space;
            return self.walk();
        }
        None
    }

    /// Which bound was reached, however little time passed: a last look when the step has ended.
    pub(crate) fn last_look(&mut self) -> Option<Bound> {
        let space = space(&self.folders);
        let grew = space.used_bytes.saturating_sub(self.seen.used_bytes) > self.limits.disk_bytes_max / GROWTH_PART
            || space.used_files.saturating_sub(self.seen.used_files) > self.limits.disk_files_max / GROWTH_PART;
        if grew && !self.folders.is_empty() { self.walk() } else { None }
    }

    fn walk(&mut self) -> Option<Bound> {
        let started = Instant::now();
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = (i64::try_from(began.as_secs()).unwrap_or(0), i64::from(began.subsec_nanos()));
        let (mut bytes, mut files) = (0_u64, 0_u64);
        let mut reached = None;
        let mut folders = self.folders.clone();
        'all: while let Some(folder) = folders.pop() {
            // What cannot be read any more was removed.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
                // The time of change can be set by nobody but the kernel.
                if (metadata.ctime(), metadata.ctime_nsec()) < began {
                    continue;
                }
                bytes += metadata.blocks() * 512 / metadata.nlink().max(1);
                files += 1;
                reached = if bytes > self.limits.disk_bytes_max {
                    Some(Bound::Disk(self.limits.disk_bytes_max))
                } else if files > self.limits.disk_files_max {
                    Some(Bound::Files(self.limits.disk_files_max))
                } else {
                    continue;
                };
                break 'all;
            }
        }
        self.walk_at = Instant::now() + WALK_EVERY.max(started.elapsed() * WALK_PART);
        reached
    }
}

fn space(folders: &[PathBuf]) -> Space {
    let mut seen = Vec::new();
    let mut all = Space { left_bytes: u64::MAX, ..Space::default() };
    for folder in folders {
        let Ok(system) = rustix::fs::statvfs(folder) else { continue };
        all.left_bytes = all.left_bytes.min(system.f_bavail.saturating_mul(system.f_frsize));
        if !seen.contains(&system.f_fsid) {
            seen.push(system.f_fsid);
            all.used_bytes += (system.f_blocks.saturating_sub(system.f_bfree)).saturating_mul(system.f_frsize);
            all.used_files += system.f_files.saturating_sub(system.f_ffree);
        }
    }
    all
}
