//! Sizes of instances.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UnknownWord;
use crate::runtime::words;

words! {
    /// The size of an app's instances.
    #[derive(Default)]
    Tier, "tier",
    /// 256 MiB and a quarter of a core.
    Small = "small",
    /// 512 MiB and half a core; the default.
    #[default]
    Medium = "medium",
    /// 1 GiB and one core.
    Large = "large",
    /// 2 GiB and two cores.
    Xlarge = "xlarge",
}

impl Tier {
    /// What an instance of this size has.
    #[must_use]
    pub fn resources(self) -> Resources {
        let (memory_mb, cpu_millicores) = match self {
            Self::Small => (256, 250),
            Self::Medium => (512, 500),
            Self::Large => (1024, 1000),
            Self::Xlarge => (2048, 2000),
        };
        Resources { memory_mb, cpu_millicores }
    }
}

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Memory, in MiB.
    pub memory_mb: u32,
    /// Processor share, in thousandths of a core.
    pub cpu_millicores: u32,
}
