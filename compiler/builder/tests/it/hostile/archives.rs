//! Archives on a real disk: what is refused leaves nothing, and what is taken compiles as its folder does.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use expect_test::{Expect, expect};
use ignite_compiler_builder::{
    Cancel, CompileError, CompileRequest, Compiled, UnpackError, pack_source, unpack_source,
};
use ignite_core_artifact::Compression;
use ignite_core_source::ArchiveLimits;

use super::everything;
use crate::support::{builder, cache, compile, compiled, folder, slow};

/// A component that a host would serve; it needs no tools.
fn component() -> Vec<u8> {
    wat::parse_str(r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#).unwrap()
}

/// One entry: name, kind, mode, link, content.
type Entry<'a> = (&'a str, u8, u32, &'a str, &'a [u8]);

const FILE: u8 = b'0';

// Compressed as well as it goes: how well the fast way does depends on which library is linked.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    for (name, kind, mode, link, content) in entries {
        let mut header = tar::Header::new_ustar();
        let raw = header.as_mut_bytes();
        raw[..name.len()].copy_from_slice(name.as_bytes());
        raw[157..157 + link.len()].copy_from_slice(link.as_bytes());
        raw[156] = *kind;
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let many: Vec<String> = (0..20_001).map(|index| format!("f{index}")).collect();
    let many: Vec<Entry<'_>> = many.iter().map(|name| (name.as_str(), FILE, 0o644, "", &b""[..])).collect();
    let zeros = vec![0; 64 << 20];
    let cut = archive(&[("a", FILE, 0o644, "", &[7; 3000])]);
    vec![
        ("leads to a parent folder", archive(&[("ok", FILE, 0o644, "", b"x"), ("../evil", FILE, 0o644, "", b"x")])),
        ("is absolute", archive(&[("/tmp/ignite-evil", FILE, 0o644, "", b"x")])),
        ("out of its root", archive(&[("l", b'2', 0o777, "/etc", b""), ("l/evil", FILE, 0o644, "", b"x")])),
        ("out of its root", archive(&[("l", b'2', 0o777, "..", b""), ("l/evil", FILE, 0o644, "", b"x")])),
        ("out of its root", archive(&[("h", b'1', 0o644, "../guarded", b"")])),
        ("both a file and a folder", archive(&[("l", b'2', 0o777, "d", b""), ("l/evil", FILE, 0o644, "", b"x")])),
        ("is a device", archive(&[("null", b'3', 0o666, "", b"")])),
        ("is a named pipe", archive(&[("pipe", b'6', 0o666, "", b"")])),
        ("has mode 4755", archive(&[("su", FILE, 0o4755, "", b"x")])),
        ("differ only by case", archive(&[("A", FILE, 0o644, "", b"x"), ("a", FILE, 0o644, "", b"y")])),
        ("comes twice", archive(&[("a", FILE, 0o644, "", b"x"), ("a", FILE, 0o644, "", b"y")])),
        ("more than 200 times its size", archive(&[("zeros", FILE, 0o644, "", &zeros)])),
        ("more than 20000 files", archive(&many)),
        ("truncated", cut[..cut.len() - 10].to_vec()),
    ]
}

#[test]
fn what_is_refused_leaves_nothing_and_changes_nothing() {
    let guarded = folder(&[("guarded", "as it was"), ("work/neighbour", "as it was")]);
    let before = everything(guarded.path());
    for (why, archive) in hostile() {
        let into = guarded.path().join("work/into");
        let error = unpack_source(&mut Cursor::new(archive), &into, &ArchiveLimits::default(), &|| Ok(())).unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert_eq!(everything(guarded.path()), before, "{why}");
    }
    assert!(!Path::new("/tmp/ignite-evil").exists());
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let dir = folder(&[("into/mine", "as it was")]);
    let before = everything(dir.path());
    let archive = archive(&[("a", FILE, 0o644, "", b"x")]);
    let into = dir.path().join("into");
    let error = unpack_source(&mut Cursor::new(archive), &into, &ArchiveLimits::default(), &|| Ok(())).unwrap_err();
    assert!(matches!(error, UnpackError::Folder { .. }), "{error}");
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn what_is_unpacked_are_ordinary_files() {
    let dir = folder(&[]);
    let into = dir.path().join("into");
    let archive = archive(&[
        ("./", b'5', 0o2777, "", b""),
        ("./run", FILE, 0o700, "", b"#!"),
        ("./d/", b'5', 0o000, "", b""),
        ("./d/a", FILE, 0o000, "", b"a"),
        ("./link", b'2', 0o777, "d/a", b""),
        ("./node_modules/x", b'2', 0o777, "/etc", b""),
    ]);
    let read = unpack_source(&mut Cursor::new(archive), &into, &ArchiveLimits::default(), &|| Ok(())).unwrap();
    assert_eq!((read.files, read.left_out), (3, 1));
    for (path, executable, content) in [("run", true, "#!"), ("d/a", false, "a"), ("link", false, "a")] {
        let metadata = fs::symlink_metadata(into.join(path)).unwrap();
        assert!(metadata.is_file(), "{path}");
        assert_eq!(metadata.permissions().mode() & 0o7100, if executable { 0o100 } else { 0 }, "{path}");
        assert_eq!(fs::read_to_string(into.join(path)).unwrap(), content);
    }
    assert!(!into.join("node_modules").exists());
}

#[test]
fn it_stops_when_it_is_told_to() {
    let dir = folder(&[]);
    let archive = archive(&[("a", FILE, 0o644, "", b"x")]);
    let stop = || Err(io::Error::other("stop"));
    let into = dir.path().join("into");
    unpack_source(&mut Cursor::new(archive), &into, &ArchiveLimits::default(), &stop).unwrap_err();
    assert!(!into.exists());
}

fn check(name: &str, bytes: &[u8], expected: &Expect) {
    let dir = folder(&[("guarded", "as it was")]);
    let (file, cache) = (dir.path().join(name), dir.path().join("cache"));
    fs::write(&file, bytes).unwrap();
    fs::create_dir(&cache).unwrap();
    let before = everything(dir.path());
    let error = compile(&builder(cache.clone()), &CompileRequest::new(&file, dir.path().join("out"))).unwrap_err();
    let report = error.report().replace(&*dir.path().to_string_lossy(), "[folder]");
    expected.assert_eq(&format!("{report}\n"));
    let mut after = everything(dir.path());
    after.retain(|path, _| !path.starts_with(cache.join("compile")));
    assert_eq!(after, before);
    let left = fs::read_dir(cache.join("compile/source")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing stays in the cache");
}

#[test]
fn the_report_says_what_why_and_what_next() {
    check(
        "app.tgz",
        &archive(&[("../evil.py", FILE, 0o644, "", b"x")]),
        &expect![[r"
            error: [folder]/app.tgz cannot be taken as a source
              cause: the path `../evil.py` of an entry leads to a parent folder with `..`
            hint: pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`
        "]],
    );
    check(
        "app.zip",
        b"PK\x03\x04 and no more",
        &expect![[r"
            error: [folder]/app.zip cannot be taken as a source
              cause: it is truncated: it ends before its last entry does
            hint: make the archive again, and upload the whole of it
        "]],
    );
    check(
        "app.tar.zst",
        &archive(&[("ignite-artifact.json", FILE, 0o644, "", b"{}")]),
        &expect![[r"
            error: [folder]/app.tar.zst cannot be taken as a source
              cause: it is an artifact, which was compiled already, and no source
            hint: serve it with `ignite run FILE`
        "]],
    );
    check(
        "app.tar.gz",
        b"def handler(payload, ctx): pass",
        &expect![[r"
            error: [folder]/app.tar.gz cannot be taken as a source
              cause: it is no archive that is known, and a source is a tar.zst, tar.gz, tar or zip file
            hint: pack the folder: `tar czf app.tar.gz -C DIR .`
        "]],
    );
}

/// A folder of an author with something for each rule.
fn project() -> tempfile::TempDir {
    let dir = folder(&[
        ("ignite.toml", "name = \"greeter\"\ninclude = [\"data/kept.bin\"]\nexclude = [\"*.md\"]\n"),
        (".gitignore", "*.log\n/data/\n"),
        (".dockerignore", "docs\n"),
        ("sub/.igniteignore", "secret.txt\n"),
        ("a.log", ""),
        ("data/kept.bin", "kept"),
        ("data/other.bin", "other"),
        ("docs/guide.txt", ""),
        ("README.md", ""),
        ("sub/secret.txt", ""),
        ("sub/kept.txt", "kept"),
        ("node_modules/x/y.js", ""),
        (".env", "TOKEN=1"),
    ]);
    fs::write(dir.path().join("app.wasm"), component()).unwrap();
    fs::write(dir.path().join("run.sh"), "#!").unwrap();
    fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("sub/kept.txt", dir.path().join("link.txt")).unwrap();
    dir
}

fn same(one: &Compiled, other: &Compiled) {
    assert_eq!(one.manifest.source, other.manifest.source, "the same files take part");
    assert_eq!(one.digest, other.digest);
}

#[test]
fn an_archive_compiles_as_its_folder_does() {
    let (dir, work) = (project(), folder(&[]));
    let at = |name: &str| work.path().join(name);
    let from_folder = compiled(&builder(at("one")), &CompileRequest::new(dir.path(), at("out")));
    for (name, compression) in [("app.tar.zst", Compression::Zstd), ("app.tgz", Compression::Gzip)] {
        let mut file = File::create(at(name)).unwrap();
        let packed = pack_source(dir.path(), compression, &ArchiveLimits::default(), &mut file).unwrap();
        assert_eq!(packed.archive_bytes, file.metadata().unwrap().len());
        file.flush().unwrap();
        let request = CompileRequest::new(at(name), at("out"));
        same(&compiled(&builder(at("two")), &request), &from_folder);
        // Again, and from the cache that the folder filled.
        same(&compiled(&builder(at("two")), &request), &from_folder);
        let cached = compiled(&builder(at("one")), &request);
        same(&cached, &from_folder);
        assert_eq!(cached.cached, ["everything"]);
        assert_eq!(fs::read_dir(at("two/compile/source")).unwrap().count(), 0, "nothing stays unpacked");
    }
}

#[test]
fn one_folder_around_everything_is_no_obstacle() {
    let component = component();
    let dir = folder(&[]);
    let file = dir.path().join("release");
    let bytes = archive(&[
        ("app-1.0/", b'5', 0o755, "", b""),
        ("app-1.0/app.wasm", FILE, 0o644, "", &component),
        (".git/HEAD", FILE, 0o644, "", b"ref"),
    ]);
    fs::write(&file, bytes).unwrap();
    let done = compiled(&builder(dir.path().join("cache")), &CompileRequest::new(&file, dir.path().join("out")));
    assert!(done.manifest.files.iter().any(|file| file.path == "app.wasm"), "the component stands in the root");
}

#[test]
fn archives_of_common_tools_compile() {
    if !slow() {
        return;
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/source_read");
    let out = folder(&[]);
    for name in ["gnu.tar", "gnu.tar.gz", "pax.tar.zst", "v7.tar", "infozip.zip"] {
        let request = CompileRequest::new(seeds.join(name), out.path().join("out"));
        let done = compiled(&builder(cache()), &request);
        let files: Vec<&str> = done.manifest.files.iter().map(|file| file.path.as_str()).collect();
        assert!(files.contains(&"handler.py") && files.contains(&"src/a.txt"), "{name}: {files:?}");
    }
}

#[test]
fn the_next_archive_of_an_app_is_worked_on_where_the_last_was() {
    let dir = folder(&[]);
    let file = dir.path().join("app.tgz");
    for content in [&b"one"[..], b"two"] {
        fs::write(&file, archive(&[("app.wasm", FILE, 0o644, "", &component()), ("x", FILE, 0o644, "", content)]))
            .unwrap();
        let request =
            CompileRequest { app: Some("app".to_owned()), ..CompileRequest::new(&file, dir.path().join("out")) };
        compiled(&builder(dir.path().join("cache")), &request);
    }
    let locks = fs::read_dir(dir.path().join("cache/compile/locks")).unwrap();
    let of_sources = locks.filter(|lock| lock.as_ref().unwrap().file_name().to_string_lossy().starts_with("source-"));
    assert_eq!(of_sources.count(), 1);
}

#[test]
fn a_compile_of_an_archive_can_be_stopped_and_leaves_nothing() {
    let dir = folder(&[]);
    let file = dir.path().join("app.tgz");
    fs::write(&file, archive(&[("app.wasm", FILE, 0o644, "", &component())])).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let request = CompileRequest { cancel, ..CompileRequest::new(&file, dir.path().join("out")) };
    let error = compile(&builder(dir.path().join("cache")), &request).unwrap_err();
    assert!(matches!(error, CompileError::Cancelled), "{error}");
    assert_eq!(fs::read_dir(dir.path().join("cache/compile/source")).map_or(0, Iterator::count), 0);
}

#[test]
fn what_a_killed_compile_left_is_swept() {
    let dir = folder(&[("cache/compile/source/0123456789abcdef/files/half", "x")]);
    let file = dir.path().join("app.tgz");
    fs::write(&file, archive(&[("app.wasm", FILE, 0o644, "", &component())])).unwrap();
    compiled(&builder(dir.path().join("cache")), &CompileRequest::new(&file, dir.path().join("out")));
    assert_eq!(fs::read_dir(dir.path().join("cache/compile/source")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_packed_is_said() {
    let dir = folder(&[("a", "")]);
    symlink("/etc/passwd", dir.path().join("out")).unwrap();
    let pack = |dir: &Path| pack_source(dir, Compression::Zstd, &ArchiveLimits::default(), &mut Vec::new());
    let error = pack(dir.path()).unwrap_err();
    assert_eq!(error.to_string(), "`out` is a link to `/etc/passwd`, out of its root");
    assert!(error.next().unwrap().contains(".igniteignore"));
    assert!(pack(&dir.path().join("nowhere")).unwrap_err().to_string().starts_with("could not open the folder "));
    fs::remove_file(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("ignite.toml"), "include = [\"../secret\"]\n").unwrap();
    assert!(pack(dir.path()).unwrap_err().to_string().contains("--> ignite.toml:1"));
}
