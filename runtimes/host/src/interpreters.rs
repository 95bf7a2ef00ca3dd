//! Finds the interpreter that will do, and remembers it: asking one for its version takes longer than a cold start may.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ignite_core_model::Digest;
use ignite_core_model::toolchain::{Pins, Probe, Tool, Version, parse_version, probe};

/// Longest time an interpreter may take to tell its version.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// The first of `candidates` whose version will do.
pub(crate) fn find(tool: Tool, candidates: &[PathBuf], cache_dir: &Path) -> Option<PathBuf> {
    let pin = Pins::embedded().pin(tool);
    candidates.iter().find(|path| version(tool, path, cache_dir).is_some_and(|found| pin.check(found).is_ok())).cloned()
}

/// What the file answers, or what the same file answered before.
fn version(tool: Tool, path: &Path, cache_dir: &Path) -> Option<Version> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let identity = format!(
        "{}:{}:{}:{}:{}",
        path.display(),
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime_nsec() + file.mtime()
    );
    let memo = cache_dir.join("interpreters").join(&Digest::of(identity.as_bytes()).to_hex()[..32]);
    if let Some(version) = fs::read_to_string(&memo).ok().and_then(|answer| parse_version(tool, &answer)) {
        return Some(version);
    }
    let answer = ask(tool, path)?;
    let version = parse_version(tool, &answer)?;
    // Only a memo: where it cannot be kept, the next start asks again.
    let _ = fs::create_dir_all(cache_dir.join("interpreters")).and_then(|()| fs::write(memo, answer));
    Some(version)
}

fn ask(tool: Tool, path: &Path) -> Option<String> {
    let Probe::Run(arguments) = probe(tool) else { return None };
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let deadline = Instant::now() + ANSWER_MAX;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut answer = String::new();
    stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).ok()?;
    status.success().then_some(answer)
}
