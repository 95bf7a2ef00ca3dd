//! Steps inside a root file system. This machine's own root serves as one: only its programs are seen of it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use ignite_compiler_sandbox::{Access, Cancel, Exit, Mount, Place, Step, StepError, StepLimits, probe, run};

fn step(script: &str, mounts: Vec<Mount>, network: bool) -> Step {
    Step {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/tmp".into(),
        place: Place::Rootfs { root: "/".into(), mounts, network },
        limits: StepLimits { wall_time: Duration::from_secs(20), ..StepLimits::default() },
    }
}

fn lines(step: &Step) -> (Result<Exit, StepError>, Vec<String>) {
    let mut lines = Vec::new();
    let done = run(step, &Cancel::default(), &mut |_, line| lines.push(line.to_owned()));
    (done.map(|done| done.exit), lines)
}

fn mount(source: &Path, inside: &str, access: Access) -> Mount {
    Mount { source: source.to_owned(), inside: inside.into(), access }
}

#[test]
fn a_step_sees_its_mounts_and_nothing_else() {
    let (read, write) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(read.path().join("in"), "given").unwrap();
    let mounts =
        vec![mount(read.path(), "/ignite/in", Access::ReadOnly), mount(write.path(), "/ignite/out", Access::ReadWrite)];
    let script = "cat /ignite/in/in; echo; echo made > /ignite/out/made; \
                  touch /ignite/in/x 2>/dev/null || echo read-only; touch /usr/x 2>/dev/null || echo root-read-only; \
                  ls /home /root 2>/dev/null | head -1; touch /tmp/x && ls /tmp; echo $$ > /dev/null; exit 7";
    let (exit, lines) = lines(&step(script, mounts, false));
    assert_eq!(
        (exit.unwrap(), lines),
        (Exit::Code(7), ["given", "read-only", "root-read-only", "x"].map(str::to_owned).to_vec())
    );
    assert_eq!(fs::read_to_string(write.path().join("made")).unwrap(), "made\n");
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&write.path().join("made")), owner(write.path()), "files belong to the caller");
}

#[test]
fn without_network_there_is_not_even_a_loopback_in_use() {
    let script = "grep -c : /proc/net/dev; grep -vc Iface /proc/net/route";
    let (exit, lines) = lines(&step(script, Vec::new(), false));
    // grep found no line of a route.
    assert_eq!(exit.unwrap(), Exit::Code(1));
    assert_eq!(lines, ["1", "0"], "one interface, which is down, and no route");
}

#[test]
fn its_processes_are_its_own_and_die_with_it() {
    let (exit, seen) =
        lines(&step("for p in /proc/[0-9]*; do echo process; done; sleep 1000 & exit 0", Vec::new(), false));
    assert!(exit.unwrap().success());
    assert!(seen.len() < 5, "{seen:?}");

    // The mark is in the command line of the process, which this machine sees.
    let mark = format!("7{:06}", std::process::id());
    let mut slow = step(&format!("sleep {mark} & wait"), Vec::new(), false);
    slow.limits.wall_time = Duration::from_millis(500);
    assert!(matches!(lines(&slow).0, Err(StepError::TimedOut { .. })));
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while running(&mark) {
        assert!(std::time::Instant::now() < deadline, "it still runs");
        std::thread::yield_now();
    }
}

fn running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        line.split('\0').any(|argument| argument == mark)
    })
}

#[test]
fn what_is_missing_is_said() {
    probe(Path::new("/")).unwrap();
    let mut missing = step("", Vec::new(), false);
    missing.program = "/nowhere/tool".into();
    let (exit, said) = lines(&missing);
    assert_eq!((exit.unwrap_err().to_string(), said.len()), ("could not start /nowhere/tool".to_owned(), 0));
    assert!(probe(Path::new("/nowhere")).is_err());
}

#[test]
fn where_namespaces_are_refused_it_is_said() {
    const INNER: &str = "IGNITE_TEST_WITHOUT_NAMESPACES";
    if std::env::var_os(INNER).is_some() {
        let error = probe(Path::new("/")).unwrap_err();
        assert!(matches!(error, StepError::Namespaces { .. }), "{error:?}");
        assert!(error.to_string().starts_with("this machine does not allow user namespaces"), "{error}");
        return;
    }
    // The same test in a user namespace that allows no further one.
    let test = std::env::current_exe().unwrap();
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" --exact where_namespaces_are_refused_it_is_said";
    let inner = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(test)
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}
