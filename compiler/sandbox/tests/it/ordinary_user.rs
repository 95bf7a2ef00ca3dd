//! All of it once more as a user without rights, where root runs the tests: mounts, users, control groups and limits are
//! then held by other means.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Of nobody.
const ID: &str = "65534";

#[test]
fn everything_holds_without_root_too() {
    if !fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        // This is an ordinary user, and every other test has shown it.
        return;
    }
    // Where it can be read by anyone.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let test = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    let inner = Command::new("setpriv")
        .args(["--reuid", ID, "--regid", ID, "--clear-groups"])
        .arg(&test)
        .args(["--skip", "ordinary_user", "--skip", "overhead", "--skip", "gigabyte"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("test result: ok."), "{said}");
}
