#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn paths(dir: &Path, include: &[&str], exclude: &[&str]) -> Result<Vec<String>, String> {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let patterns = Patterns::new(&words(include), &words(exclude)).unwrap();
    let limits = SourceLimits { files_max: 50, bytes_max: 4096, depth_max: 4 };
    match scan(dir, &patterns, Some(&dir.join("out.tar.zst")), &limits) {
        Ok(tree) => Ok(tree.files().iter().map(|file| file.path.clone()).collect()),
        Err(error) => Err(error.report()),
    }
}

#[test]
fn ignored_and_never_packed_files_stay_out() {
    let dir = folder(&[
        ("handler.py", ""),
        ("ignite.toml", ""),
        ("out.tar.zst", ""),
        (".gitignore", "*.log\n/data/\n"),
        ("a.log", ""),
        ("data/model.bin", ""),
        ("data/other.bin", ""),
        ("sub/.igniteignore", "secret.txt\n"),
        ("sub/secret.txt", ""),
        ("sub/kept.txt", ""),
        (".dockerignore", "docs\nsub/*.tmp\n"),
        ("docs/guide.txt", ""),
        ("sub/x.tmp", ""),
        ("._handler.py", ""),
        (".DS_Store", ""),
        (".hidden", ""),
        ("notes.md", ""),
        ("sub/node_modules/x/y.js", ""),
        (".git/config", ""),
        (".env", "TOKEN=1"),
        ("__pycache__/handler.cpython-312.pyc", ""),
        ("target/debug/x", ""),
        (".venv/bin/python", ""),
    ]);
    assert_eq!(
        paths(dir.path(), &[], &["*.md"]).unwrap(),
        [".hidden", "handler.py", "sub/kept.txt"],
        "nothing that is ignored"
    );
    assert_eq!(
        paths(dir.path(), &["data/model.bin", ".env", "notes.md"], &["*.md"]).unwrap(),
        [".hidden", "data/model.bin", "handler.py", "notes.md", "sub/kept.txt"],
        "what is asked for by name comes back, but never a .env"
    );
}

#[test]
fn rules_from_above_do_not_count() {
    let dir = folder(&[(".gitignore", "*.py\n"), (".git/info/exclude", "*.py\n"), ("app/handler.py", "")]);
    assert_eq!(paths(&dir.path().join("app"), &[], &[]).unwrap(), ["handler.py"]);
}

#[test]
fn links_stay_inside() {
    let dir = folder(&[("a.txt", "x")]);
    std::os::unix::fs::symlink("a.txt", dir.path().join("b.txt")).unwrap();
    assert_eq!(paths(dir.path(), &[], &[]).unwrap(), ["a.txt", "b.txt"]);
    for (target, why) in
        [("/etc/passwd", "leads out of this folder"), ("nowhere", "leads nowhere"), (".", "leads to a folder")]
    {
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        let error = paths(dir.path(), &[], &[]).unwrap_err();
        assert!(error.contains(why), "{error}");
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn a_folder_may_not_be_too_big() {
    let dir = folder(&[("a/b/c/d/e/f", "")]);
    assert!(paths(dir.path(), &[], &[]).unwrap_err().contains("more than 4 folders deep"));
    let dir = folder(&[("big", &"x".repeat(5000))]);
    assert!(paths(dir.path(), &[], &[]).unwrap_err().contains("MiB together"));
    let many: Vec<(String, &str)> = (0..51).map(|index| (index.to_string(), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    assert!(paths(folder(&many).path(), &[], &[]).unwrap_err().contains("more than 50 files"));
}

#[test]
fn modes_and_contents_are_seen() {
    let dir = folder(&[("run.sh", "#!"), ("main.go", "package main")]);
    fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let tree = scan(dir.path(), &Patterns::new(&[], &[]).unwrap(), None, &SourceLimits::default()).unwrap();
    assert!(tree.find_file("run.sh").unwrap().executable);
    assert_eq!(tree.find_text("main.go"), Some("package main"));
    assert_eq!(tree.find_text("run.sh"), None);
    assert_eq!(tree.find_file("run.sh").unwrap().digest, Digest::of(b"#!"));
}
