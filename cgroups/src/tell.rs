//! What the kernel tells of a group.

use std::fs;

use crate::controller::Controller;
use crate::group::Group;
use crate::place::Version;

impl Group {
    /// Whether the kernel ended a process in it because its memory was used up.
    #[must_use]
    pub fn was_out_of_memory(&self) -> bool {
        let Some((folder, version)) = self.place(Controller::Memory) else { return false };
        let file = match version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        ended_by_kernel(&text)
    }

    /// Processes and threads in it now. `None` where it does not hold their number.
    #[must_use]
    pub fn processes(&self) -> Option<u64> {
        let (folder, _) = self.place(Controller::Pids)?;
        fs::read_to_string(folder.join("pids.current")).ok()?.trim().parse().ok()
    }
}

/// Both versions have this line, v1 since Linux 4.13.
fn ended_by_kernel(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
}

#[cfg(test)]
mod tests {
    use super::ended_by_kernel;

    #[test]
    fn the_kernels_words_are_read() {
        assert!(ended_by_kernel("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"));
        assert!(!ended_by_kernel("low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 0\n"));
        assert!(ended_by_kernel("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"));
        assert!(!ended_by_kernel("oom_kill_disable 1\nunder_oom 0\n"));
        assert!(!ended_by_kernel(""));
    }
}
