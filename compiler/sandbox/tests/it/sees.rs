//! What a step sees of the machine, and what it can change.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use ignite_compiler_sandbox::{Access, Exit, Features, Mount, Phase, Place, StepError, ToolRoot};

use crate::support::{lines, names, said, shell, step};

#[test]
fn every_protection_is_there_on_this_machine() {
    let scratch = tempfile::tempdir().unwrap();
    let features = Features::at(scratch.path());
    assert!(features.missing.is_empty(), "{:?}", features.missing);
    assert!(features.means.starts_with("memory is "), "{}", features.means);
}

#[test]
fn a_step_sees_its_mounts_and_its_tools_and_nothing_else() {
    let (read, write) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(read.path().join("in"), "given\n").unwrap();
    let mounts = vec![
        Mount { source: read.path().into(), inside: "/ignite/in".into(), access: Access::ReadOnly },
        Mount { source: write.path().into(), inside: "/ignite/out".into(), access: Access::ReadWrite },
    ];
    let script = "cat /ignite/in/in; echo made > /ignite/out/made
                  touch /ignite/in/x 2>/dev/null || echo input is read-only
                  touch /usr/x 2>/dev/null || echo tools are read-only
                  touch /x 2>/dev/null || echo the root is read-only
                  touch /etc/x 2>/dev/null || echo etc is read-only
                  touch /dev/x 2>/dev/null || echo dev is read-only
                  touch /tmp/x && echo /tmp/*; ls /; ls /dev; ls /var /ignite
                  echo nothing > /dev/null; head -c 3 /dev/zero | wc -c; exit 7";
    let (exit, seen) = lines(&shell(script, mounts));
    assert_eq!(exit.unwrap(), Exit::Code(7), "{seen:?}");
    let seen: Vec<&str> = seen.iter().map(String::as_str).filter(|name| !name.starts_with("lib")).collect();
    let expected = "given|input is read-only|tools are read-only|the root is read-only|etc is read-only|\
                    dev is read-only|/tmp/x|bin|dev|etc|ignite|proc|sbin|tmp|usr|var|fd|full|null|random|shm|stderr|\
                    stdin|stdout|urandom|zero|/ignite:|in|out||/var:|tmp|3";
    assert_eq!(seen.join("|"), expected);
    let made = fs::metadata(write.path().join("made")).unwrap();
    assert_eq!(made.uid(), fs::metadata(write.path()).unwrap().uid(), "files belong to the caller");
    assert_eq!(fs::read_to_string(write.path().join("made")).unwrap(), "made\n");
}

#[test]
fn secrets_of_the_machine_are_not_there() {
    // Another tenant's folder, and one of this user's home: by their paths, and through any link.
    let tenant = tempfile::tempdir().unwrap();
    fs::write(tenant.path().join("secret"), "secret of another").unwrap();
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(tenant.path(), own.path().join("link")).unwrap();
    let script = format!(
        "for f in /etc/shadow /etc/gshadow /etc/sudoers {1}/.bashrc {1}/.ssh /home/* /var/run/docker.sock \
         /run/docker.sock /run/systemd /sys/kernel /dev/sda /dev/vda /dev/mem /dev/kmsg /dev/tty /dev/ptmx \
         /etc/ssl/private /proc/1/environ /proc/1/root /proc/1/mem /proc/kcore /proc/sysrq-trigger {0}/secret \
         link/secret; do
             if cat \"$f\" >/dev/null 2>&1 || ls \"$f\"/* >/dev/null 2>&1; then echo \"can read $f\"; fi
             if ( : >> \"$f\" ) 2>/dev/null; then echo \"can write $f\"; fi
         done; echo looked",
        tenant.path().display(),
        std::env::var("HOME").unwrap_or_default()
    );
    let mut step = shell(&script, vec![Mount::read_write(own.path())]);
    step.cwd = own.path().into();
    assert_eq!(said(&step), ["looked"]);
    assert_eq!(names(tenant.path()), ["secret"]);
}

#[test]
fn the_environment_is_what_was_given() {
    let mut step = shell("env; cat /proc/self/environ | tr '\\0' '\\n'", Vec::new());
    step.env.push(("WORD".into(), "with spaces = and signs".into()));
    let mut seen = said(&step);
    // What the shell itself adds.
    seen.retain(|line| !line.starts_with("PWD=") && !line.starts_with("OLDPWD=") && !line.starts_with("_="));
    seen.retain(|line| !line.starts_with("SHLVL="));
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["PATH=/usr/bin:/bin", "WORD=with spaces = and signs"]);
}

#[test]
fn it_is_nobody_in_particular() {
    let script = "id -u; id -g; id -un; hostname; sed -n 's/^\\(Cap[A-Z][a-z]*\\|NoNewPrivs\\|Seccomp\\):\\t/\\1 /p' \
                  /proc/self/status; cat /proc/self/oom_score_adj; wc -l < /etc/passwd";
    let none = "0000000000000000";
    let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| format!("{name} {none}"));
    let mut expected: Vec<String> = ["1000", "1000", "ignite", "ignite"].map(str::to_owned).into();
    expected.extend(caps);
    expected.extend(["NoNewPrivs 1", "Seccomp 2", "800", "3"].map(str::to_owned));
    assert_eq!(said(&shell(script, Vec::new())), expected);
}

#[test]
fn it_is_alone() {
    // The first process, which waits for them, the shell, and `ls`.
    let processes = said(&shell("ls -d /proc/[0-9]*", Vec::new()));
    assert!(processes.len() <= 3, "{processes:?}");
    let (exit, _) = lines(&shell("kill -TERM 1; kill -KILL 1; exit 3", Vec::new()));
    assert_eq!(exit.unwrap(), Exit::Code(3), "the first process is not theirs to end");
}

#[test]
fn nothing_with_the_rights_of_another_is_made() {
    let write = tempfile::tempdir().unwrap();
    let script = "cp /bin/true here; for mode in 4755 2755 6755; do chmod $mode here 2>/dev/null && echo set; done
                  mknod device b 8 0 2>/dev/null && echo device; ln /bin/true hard 2>/dev/null && echo link
                  chmod 755 here && ./here && echo runs";
    let mut step = shell(script, vec![Mount::read_write(write.path())]);
    step.cwd = write.path().into();
    assert_eq!(said(&step), ["runs"]);
    assert_eq!(fs::metadata(write.path().join("here")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(names(write.path()), ["here"]);
}

#[test]
fn what_is_fetched_cannot_be_run_before_the_network_is_gone() {
    let write = tempfile::tempdir().unwrap();
    let mounts = vec![Mount::read_write(write.path())];
    let script = "for place in . /tmp /dev/shm; do cp /bin/true $place/here && chmod 755 $place/here &&
                  { $place/here 2>/dev/null && echo ran || echo refused; }; done";
    let mut fetch = step("/bin/sh", &["-c", script], Phase::Fetch, mounts.clone());
    fetch.cwd = write.path().into();
    assert_eq!(said(&fetch), ["refused", "refused", "refused"]);
    let mut build = shell("./here && echo ran", mounts);
    build.cwd = write.path().into();
    assert_eq!(said(&build), ["ran"]);
}

#[test]
fn a_deeper_mount_counts() {
    let outer = tempfile::tempdir().unwrap();
    let (inner, public) = (outer.path().join("inner"), tempfile::tempdir().unwrap());
    fs::create_dir(&inner).unwrap();
    fs::write(outer.path().join("config"), "password").unwrap();
    fs::write(public.path().join("config"), "none").unwrap();
    let hidden =
        Mount { source: public.path().join("config"), inside: outer.path().join("config"), access: Access::ReadOnly };
    let mut step = shell(
        "cat config; touch inner/x && echo inner; touch y 2>/dev/null || echo read-only",
        vec![hidden, Mount::read_write(&inner), Mount::read_only(outer.path())],
    );
    step.cwd = outer.path().into();
    assert_eq!(said(&step), ["noneinner", "read-only"]);
    assert_eq!(names(&inner), ["x"]);
}

#[test]
fn an_image_brings_its_own_tools() {
    let image = tempfile::tempdir().unwrap();
    fs::create_dir_all(image.path().join("usr/bin")).unwrap();
    fs::create_dir_all(image.path().join("etc")).unwrap();
    fs::write(image.path().join("etc/shadow"), "secret").unwrap();
    fs::write(image.path().join("usr/only-here"), "").unwrap();
    for name in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), image.path().join(name)).unwrap();
    }
    // The machine's own shell and libraries serve as the image's.
    let mut step = shell("test -e /usr/only-here && ls /etc", Vec::new());
    let Place::Sandbox(sandbox) = &mut step.place else { unreachable!() };
    sandbox.root = ToolRoot::Image(image.path().into());
    fs::copy("/bin/sh", image.path().join("usr/bin/sh")).unwrap();
    fs::copy("/bin/ls", image.path().join("usr/bin/ls")).unwrap();
    let libraries = ["lib", "lib64"].map(|name| PathBuf::from("/usr").join(name));
    for library in libraries.iter().filter(|path| path.exists()) {
        fs::create_dir_all(image.path().join("usr").join(library.file_name().unwrap())).unwrap();
        sandbox.mounts.push(Mount::read_only(library));
    }
    let seen = said(&step);
    assert!(seen.contains(&"passwd".to_owned()) && !seen.contains(&"shadow".to_owned()), "{seen:?}");
}

#[test]
fn what_is_missing_is_said() {
    let missing = step("/nowhere/tool", &[], Phase::Build, Vec::new());
    let (exit, said) = lines(&missing);
    assert_eq!((exit.unwrap_err().to_string(), said.len()), ("could not start /nowhere/tool".to_owned(), 0));
    let (exit, _) = lines(&shell("", vec![Mount::read_only("/nowhere/folder")]));
    let error = exit.unwrap_err();
    assert_eq!(error.to_string(), "could not make a sandbox: there is no /nowhere/folder to mount");
    let mut zero = shell("", Vec::new());
    zero.args.push("a\0b".into());
    assert!(matches!(lines(&zero).0, Err(StepError::ZeroByte(_))));
}

#[test]
fn where_namespaces_are_refused_it_is_said() {
    const INNER: &str = "IGNITE_TEST_WITHOUT_NAMESPACES";
    if std::env::var_os(INNER).is_some() {
        let scratch = tempfile::tempdir().unwrap();
        let features = Features::at(scratch.path());
        assert!(!features.has_sandbox(), "{features:?}");
        let said = features.missing[0].to_string();
        assert!(said.starts_with("this machine lacks namespaces (could not make a sandbox: make "), "{said}");
        assert!(said.contains("could read and change everything this user can"), "{said}");
        return;
    }
    // The same test in a user namespace that allows no further one.
    let test = std::env::current_exe().unwrap();
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec \"$0\" --exact sees::where_namespaces_are_refused_it_is_said";
    let inner = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(test)
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}
