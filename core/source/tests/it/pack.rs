//! What a folder holds, written and read again.

use std::collections::BTreeMap;
use std::io::{self, Read};

use expect_test::{Expect, expect};
use ignite_core_artifact::Compression;
use ignite_core_source::{ArchiveLimits, Choice, Folder, Item, ItemKind, Selected, WriteError, select, write};

use crate::make::{gz, take};

/// A folder in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, (ItemKind, Vec<u8>)>);

impl Memory {
    fn of(files: &[(&str, &str)]) -> Self {
        let mut folder = Self::default();
        for (path, text) in files {
            folder.file(path, text, false);
        }
        folder
    }

    fn add(&mut self, path: &str, kind: ItemKind, content: &[u8]) {
        for (slash, _) in path.match_indices('/') {
            self.0.insert(path[..slash].to_owned(), (ItemKind::Folder, Vec::new()));
        }
        self.0.insert(path.to_owned(), (kind, content.to_vec()));
    }

    fn file(&mut self, path: &str, text: &str, executable: bool) {
        self.add(path, ItemKind::File { size: text.len() as u64, executable }, text.as_bytes());
    }

    fn link(&mut self, path: &str, target: &str) {
        self.add(path, ItemKind::Link { target: target.as_bytes().to_vec() }, b"");
    }
}

impl Folder for Memory {
    fn list(&self, folder: &str) -> io::Result<Vec<Item>> {
        let below = |path: &String| match folder {
            "" => Some(path.clone()),
            folder => path.strip_prefix(&format!("{folder}/")).map(str::to_owned),
        };
        let items = self.0.iter().filter_map(|(path, (kind, _))| Some((below(path)?, kind.clone())));
        let direct = items.filter(|(name, _)| !name.contains('/'));
        Ok(direct.map(|(name, kind)| Item { name: name.into_bytes(), kind }).collect())
    }

    fn find(&self, path: &str) -> io::Result<Option<ItemKind>> {
        Ok(self.0.get(path).map(|(kind, _)| kind.clone()))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(&self.0[path].1[..]))
    }
}

fn packed(folder: &Memory, choice: &Choice<'_>, compression: Compression) -> Result<Vec<u8>, String> {
    let files = select(folder, choice, &ArchiveLimits::default()).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let written = write(folder, &files, compression, &mut out).map_err(|error| error.to_string())?;
    assert_eq!((written.files, written.archive_bytes), (files.len(), out.len() as u64));
    assert_eq!(written.digest, ignite_core_model::Digest::of(&out));
    Ok(out)
}

fn check_with(folder: &Memory, choice: &Choice<'_>, expected: &Expect) {
    let text = match packed(folder, choice, Compression::Gzip) {
        Ok(archive) => take(&archive, &ArchiveLimits::default()).unwrap().1.lines(),
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&text);
}

fn check(folder: &Memory, expected: &Expect) {
    check_with(folder, &Choice::none(), expected);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let long = format!("{}/größe ☃.txt", "d/".repeat(59).trim_end_matches('/'));
    let mut folder = Memory::of(&[("b.py", "b"), ("a/c.py", "c"), (&long, "long"), ("z", "")]);
    folder.file("run.sh", "#!", true);
    folder.link("link", "a/c.py");
    for compression in Compression::ALL {
        let archive = packed(&folder, &Choice::none(), compression).unwrap();
        assert_eq!(archive, packed(&folder, &Choice::none(), compression).unwrap());
        let (_, got) = take(&archive, &ArchiveLimits::default()).unwrap();
        assert_eq!(got.0.len(), 6);
        assert_eq!(got.0["link"], (b"c".to_vec(), false));
        assert_eq!(got.0["run.sh"], (b"#!".to_vec(), true));
        assert_eq!(got.0[&long].0, b"long");
    }
}

#[test]
fn the_ignore_files_count() {
    let mut folder = Memory::of(&[
        ("handler.py", ""),
        ("ignite.toml", ""),
        (".gitignore", "*.log\n/data/\nignite.toml\n"),
        (".dockerignore", "docs\n**/*.md\n!docs/api.md\n"),
        ("a.log", ""),
        ("data/model.bin", ""),
        ("docs/guide.txt", ""),
        ("docs/api.md", ""),
        ("README.md", ""),
        ("sub/docs/x", ""),
        ("sub/.igniteignore", "secret.txt\n!kept.log\n"),
        ("sub/secret.txt", ""),
        ("sub/kept.log", ""),
        ("sub/node_modules/x/y.js", ""),
        (".git/config", ""),
        (".env", "TOKEN=1"),
        ("__pycache__/x.pyc", ""),
        ("target/debug/x", ""),
        (".venv/bin/python", ""),
        (".DS_Store", ""),
    ]);
    folder.add("socket", ItemKind::Other, b"");
    check(
        &folder,
        &expect![[r#"
            .dockerignore "docs\n**/*.md\n!docs/api.md\n"
            .gitignore "*.log\n/data/\nignite.toml\n"
            docs/api.md ""
            handler.py ""
            ignite.toml ""
            sub/.igniteignore "secret.txt\n!kept.log\n"
            sub/docs/x ""
            sub/kept.log ""
        "#]],
    );
    let choice = Choice {
        includes: &|path| path.starts_with("data/") || path == ".env" || path == "sub/secret.txt",
        excludes: &|path| path.starts_with("sub/"),
        any_includes: true,
    };
    let files = select(&folder, &choice, &ArchiveLimits::default()).unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let expected = [".dockerignore", ".gitignore", "data/model.bin", "docs/api.md", "handler.py", "ignite.toml"];
    assert_eq!(paths, expected, "never a .env, and what .igniteignore leaves out stays out");
}

#[test]
fn what_no_reader_would_take_is_refused_before_it_is_written() {
    let mut folder = Memory::of(&[("a", "")]);
    folder.link("out", "../x");
    check(
        &folder,
        &expect![[r"
            `out` is a link to `../x`, out of its root
        "]],
    );
    let mut folder = Memory::of(&[("a/b", "")]);
    folder.link("dir", "a");
    check(
        &folder,
        &expect![[r"
            `dir` is a link to `a`, which is a folder
        "]],
    );
    check(
        &Memory::of(&[("Readme", ""), ("README", "")]),
        &expect![[r"
            `Readme` and `README` differ only by case or by Unicode's normal form
        "]],
    );
    check(
        &Memory::of(&[("a\\b", "")]),
        &expect![[r"
            the path `a\b` of an entry has a backslash
        "]],
    );
    check(
        &Memory::of(&[(".dockerignore", &"x\n".repeat(2000))]),
        &expect![[r"
            `.dockerignore` cannot be used: it has more than 1000 patterns
        "]],
    );
    let small = ArchiveLimits { files_max: 1, ..ArchiveLimits::default() };
    let error = select(&Memory::of(&[("a", ""), ("b", "")]), &Choice::none(), &small).unwrap_err();
    assert_eq!(error.to_string(), "it has more than 1 files");
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let folder = Memory::of(&[("a", "1234")]);
    for size in [3, 5] {
        let file = Selected { path: "a".to_owned(), from: "a".to_owned(), size, executable: false };
        let error = write(&folder, &[file], Compression::Zstd, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Changed { .. }), "{error}");
    }
}

#[test]
fn other_tools_read_what_is_written() {
    let folder = Memory::of(&[("a/b.py", "text"), ("c", "")]);
    let archive = packed(&folder, &Choice::none(), Compression::Gzip).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
    let names: Vec<String> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names, ["a/b.py", "c"]);
    // And the other way round.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o600);
    builder.append_data(&mut header, format!("{}/handler.py", "long".repeat(60)), &b"text"[..]).unwrap();
    let (_, got) = take(&gz(&builder.into_inner().unwrap()), &ArchiveLimits::default()).unwrap();
    assert_eq!(got.0.len(), 1);
}
