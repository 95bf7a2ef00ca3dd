//! What of the sandbox this machine has, found out by making one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::cgroup::Group;
use crate::own_user;
use crate::run::run;
use crate::step::{Cancel, Mount, Phase, Place, Protection, Sandbox, Step, StepError, StepLimits, ToolRoot};

/// What this machine and this user have of the sandbox.
#[derive(Debug, Clone)]
pub struct Features {
    /// What is not there. Empty when every protection holds.
    pub missing: Vec<Missing>,
    /// How memory and processes are held: by the kernel, or by looking.
    pub means: String,
}

/// A protection that is not there.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Which.
    pub protection: Protection,
    /// What was tried and what the system said.
    pub cause: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, meaning) = (self.protection.as_str(), self.protection.meaning());
        write!(f, "this machine lacks {name} ({}): {meaning}", self.cause)
    }
}

impl Features {
    /// Finds out what there is, by running nothing in a sandbox that may write to `scratch`: a folder on the disk that
    /// steps will write to, since not every file system can do all of it. Remembered for each folder.
    #[must_use]
    pub fn at(scratch: &Path) -> Self {
        static KNOWN: OnceLock<Mutex<Vec<(PathBuf, Features)>>> = OnceLock::new();
        let known = KNOWN.get_or_init(Mutex::default);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, features)) = known.iter().find(|(folder, _)| folder == scratch) {
            return features.clone();
        }
        let features = find(scratch);
        known.push((scratch.to_owned(), features.clone()));
        features
    }

    /// The protections that are missing.
    #[must_use]
    pub fn without(&self) -> Vec<Protection> {
        self.missing.iter().map(|missing| missing.protection).collect()
    }

    /// Whether steps can be locked up at all.
    #[must_use]
    pub fn has_sandbox(&self) -> bool {
        !self.missing.iter().any(|missing| missing.protection == Protection::Namespaces)
    }
}

fn find(scratch: &Path) -> Features {
    let mut missing = Vec::new();
    let tried = attempt(scratch, Vec::new());
    if let Err(first) = tried {
        // Which single part it is, then which two.
        let candidates: &[&[Protection]] = match own_user::is_needed() {
            true => {
                &[&[Protection::OwnUser], &[Protection::SystemCalls], &[Protection::OwnUser, Protection::SystemCalls]]
            }
            false => &[&[Protection::SystemCalls]],
        };
        let without = candidates.iter().find(|without| attempt(scratch, without.to_vec()).is_ok());
        let lacking = without.map_or(&[Protection::Namespaces][..], |without| without);
        missing.extend(lacking.iter().map(|protection| Missing { protection: *protection, cause: chain(&first) }));
    }
    Features { missing, means: means() }
}

/// One sandbox, in which nothing runs but our own first process.
fn attempt(scratch: &Path, without: Vec<Protection>) -> Result<(), StepError> {
    let step = Step {
        program: "/".into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        place: Place::Sandbox(Sandbox {
            phase: Phase::Build,
            root: ToolRoot::Machine,
            mounts: vec![Mount::read_write(scratch)],
            without,
        }),
        limits: StepLimits { wall_time: std::time::Duration::from_secs(10), ..StepLimits::default() },
    };
    match run(&step, &Cancel::default(), &mut |_, _| {}) {
        // A folder cannot be executed; that this was tried shows that all the rest was done.
        Err(StepError::Start { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

fn means() -> String {
    let limits = StepLimits::default();
    let group = Group::make(limits.memory_bytes_max, limits.processes_max);
    let held = |held| if held { "held by a control group" } else { "watched" };
    format!("memory is {}, processes are {}", held(group.holds_memory()), held(group.holds_processes()))
}

fn chain(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
