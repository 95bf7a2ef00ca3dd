//! Machine code made ahead of time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ignite_core_model::{Digest, Fault};
use ignite_runtimes_executor::LogSource;
use ignite_runtimes_wasm::{WasmError, precompile};

use crate::support::{Setup, function_guest, http_guest, setup};

fn with_cache(cache: &Path, wasm: &[u8]) -> Setup {
    let mut setup = setup(wasm);
    setup.config.aot_cache = Some(cache.to_owned());
    setup
}

fn files(cache: &Path) -> Vec<PathBuf> {
    fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Starts, answers, and tells whether it had to compile, and what was warned of.
async fn served(setup: Setup, path: &str) -> (bool, Vec<String>) {
    let app = setup.start().await;
    assert_eq!(app.text(path, "fine").await, "fine");
    let warnings = app.logs.all().into_iter().filter(|line| line.0 == LogSource::Host && line.1 == "warn");
    (app.gauge("wasm_compiled_count") > 0.0, warnings.map(|line| line.3).collect())
}

#[tokio::test]
async fn what_was_compiled_once_is_loaded_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("made/here");
    let wasm = function_guest();
    assert_eq!(served(with_cache(&cache, &wasm), "/echo").await, (true, vec![]));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let kept = files(&cache);
    assert_eq!(kept.len(), 1);
    let name = kept[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&Digest::of(&wasm).to_hex()) && name.ends_with(".cwasm"), "{name}");
    assert_eq!(fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777, 0o600);

    // The component itself is not needed any more.
    let mut again = with_cache(&cache, &wasm);
    again.config.component.set_file_name("gone.wasm");
    assert_eq!(served(again, "/echo").await, (false, vec![]));

    // Another component does not meet it.
    assert_eq!(served(with_cache(&cache, &http_guest()), "/echo").await, (true, vec![]));
    assert_eq!(files(&cache).len(), 2);
}

#[tokio::test]
async fn what_was_made_before_is_what_a_host_loads() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = http_guest();
    let path = precompile(&wasm, dir.path()).unwrap();
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(precompile(&wasm, dir.path()).unwrap(), path);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), made);
    assert_eq!(served(with_cache(dir.path(), &wasm), "/echo").await, (false, vec![]));
}

#[tokio::test]
async fn damaged_machine_code_is_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = function_guest();
    let path = precompile(&wasm, dir.path()).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut one_bit = whole.clone();
    one_bit[whole.len() / 2] ^= 1;
    for damaged in [&one_bit[..], &whole[..whole.len() - 1], &whole[..20], b""] {
        fs::write(&path, damaged).unwrap();
        let (compiled, warnings) = served(with_cache(dir.path(), &wasm), "/echo").await;
        assert!(compiled);
        assert!(warnings.len() == 1 && warnings[0].contains("damaged"), "{warnings:?}");
        // It was replaced.
        assert!(fs::read(&path).unwrap() == whole);
    }
}

#[tokio::test]
async fn machine_code_others_could_write_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = function_guest();
    let path = precompile(&wasm, dir.path()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (compiled, warnings) = served(with_cache(dir.path(), &wasm), "/echo").await;
    assert!(compiled && warnings[0].contains("this user alone"), "{warnings:?}");

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (compiled, warnings) = served(with_cache(dir.path(), &wasm), "/echo").await;
    assert!(compiled && warnings[0].contains("writable by no one else"), "{warnings:?}");
    let refused = precompile(&wasm, dir.path()).unwrap_err();
    assert!(matches!(refused, WasmError::CacheNotPrivate { .. }));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();

    let target = dir.path().join("elsewhere");
    fs::rename(&path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let (compiled, _) = served(with_cache(dir.path(), &wasm), "/echo").await;
    assert!(compiled);
}

#[tokio::test]
async fn the_folder_does_not_grow_without_end() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fs::write(dir.path().join(format!("{n}.cwasm")), "old").unwrap();
    }
    fs::write(dir.path().join("keep.txt"), "not ours").unwrap();
    let path = precompile(&function_guest(), dir.path()).unwrap();
    assert!(path.exists() && dir.path().join("keep.txt").exists());
    assert_eq!(files(dir.path()).len(), 256 + 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_component_is_known_before_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let error = precompile(&wat::parse_str("(component)").unwrap(), dir.path()).unwrap_err();
    assert!(matches!(error, WasmError::NoHandler { .. }));
    assert_eq!(error.fault(), Fault::Caller);
    assert!(files(dir.path()).is_empty());
}
