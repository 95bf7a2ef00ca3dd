//! Whether the kernel killed for want of memory: a container's own limit may strike before this executor's does.

use std::fs;

/// How often the kernel has killed a process of this process's control group because the group had too little memory.
/// `None` where the system does not tell.
pub(crate) fn kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    files(&groups).find_map(|file| count(&fs::read_to_string(file).ok()?))
}

/// The files that may tell, given `/proc/self/cgroup`. In a container of its own the group appears as the root.
fn files(groups: &str) -> impl Iterator<Item = String> {
    groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).flat_map(|(controllers, path)| {
        let path = path.trim_end_matches('/');
        match controllers {
            "" => vec![format!("/sys/fs/cgroup{path}/memory.events")],
            _ if controllers.split(',').any(|controller| controller == "memory") => vec![
                format!("/sys/fs/cgroup/memory{path}/memory.oom_control"),
                "/sys/fs/cgroup/memory/memory.oom_control".to_owned(),
            ],
            _ => Vec::new(),
        }
    })
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hierarchies_are_read() {
        assert_eq!(files("0::/pods/a\n").collect::<Vec<_>>(), ["/sys/fs/cgroup/pods/a/memory.events"]);
        assert_eq!(
            files("8:pids:/\n4:memory:/a\n").collect::<Vec<_>>(),
            ["/sys/fs/cgroup/memory/a/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"]
        );
        assert_eq!(count("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(count("oom_kill_disable 0\n"), None);
    }
}
