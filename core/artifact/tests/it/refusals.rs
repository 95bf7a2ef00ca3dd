//! Every refusal has its own error.

use std::io;

use expect_test::{Expect, expect};
use ignite_core_artifact::{
    Compression, Discard, FileEntry, Manifest, PayloadFile, ReadError, ReadLimits, Sink, read, read_manifest, write,
};

use crate::support::{
    Archive, Keep, bare_head, chain, compress, file, head, manifest_json, one_file, pack, payload, unpack,
};

/// What is said about each artifact, a line for each.
#[derive(Default)]
struct Said(String);

impl Said {
    fn refused(&mut self, artifact: &[u8]) {
        self.refused_within(artifact, &ReadLimits::default());
    }

    fn refused_within(&mut self, mut artifact: &[u8], limits: &ReadLimits) {
        let error = read(&mut artifact, limits, &mut Discard).unwrap_err();
        self.line(&chain(&error));
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&self.0);
    }
}

/// An artifact whose manifest lists `app` (content `x`) and whose archive has `path` instead.
fn with_entry(path: &str, kind: u8, mode: u32, link: &str) -> Vec<u8> {
    Archive::new(&one_file(b"x"))
        .entry(path.as_bytes(), kind, mode, b"", |header| {
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        })
        .file("app", 0o644, b"x")
        .end()
}

/// An artifact whose manifest lists these files besides `app`.
fn with_files(files: Vec<FileEntry>) -> Vec<u8> {
    let mut manifest = one_file(b"x");
    manifest.files.extend(files);
    Archive::new(&manifest).file("app", 0o644, b"x").end()
}

#[test]
fn what_is_right_is_read() {
    let (read, keep) = unpack(&Archive::new(&one_file(b"x")).file("app", 0o644, b"x").end()).unwrap();
    assert_eq!(read.manifest, one_file(b"x"));
    assert_eq!(keep.files["app"], (0o644, b"x".to_vec()));
}

#[test]
fn paths_of_entries_stay_inside() {
    let mut said = Said::default();
    said.refused(&with_entry("/etc/passwd", b'0', 0o644, ""));
    said.refused(&with_entry("a/../../b", b'0', 0o644, ""));
    said.refused(&with_entry("./app", b'0', 0o644, ""));
    said.refused(&with_entry("", b'0', 0o644, ""));
    said.refused(&with_entry("a\nb", b'0', 0o644, ""));
    said.refused(&with_entry("..\\b", b'0', 0o644, ""));
    let latin = Archive::new(&one_file(b"x")).entry(b"gr\xf6\xdfe", b'0', 0o644, b"", |_| {}).end();
    said.refused(&latin);
    let extended = Archive::new(&one_file(b"x"))
        .entry(b"x", b'x', 0o644, b"15 path=/absol\n", |_| {})
        .file("app", 0o644, b"x")
        .end();
    said.refused(&extended);
    said.check(expect![[r#"
        the artifact is refused: the path "/etc/passwd" of an entry is absolute
        the artifact is refused: the path "a/../../b" of an entry leads to a parent folder with `..`
        the artifact is refused: the path "./app" of an entry has an empty part or `.`
        the artifact is refused: the path "" of an entry is empty
        the artifact is refused: the path "a\nb" of an entry has a control character
        the artifact is refused: the path "..\\b" of an entry has a backslash
        the artifact is refused: the path "" of an entry is not UTF-8
        the artifact is refused: the path "/absol" of an entry is absolute
    "#]]);
}

#[test]
fn only_files_are_taken() {
    let mut said = Said::default();
    said.refused(&with_entry("a", b'2', 0o777, "../../etc"));
    said.refused(&with_entry("a", b'2', 0o777, "app"));
    said.refused(&with_entry("a", b'1', 0o644, "/etc/shadow"));
    for kind in [b'3', b'4', b'6'] {
        said.refused(&with_entry("a", kind, 0o644, ""));
    }
    said.refused(&with_entry("a/b", b'5', 0o755, ""));
    said.refused(&with_entry("a", b'L', 0o644, ""));
    said.refused(&with_entry("a", b'g', 0o644, ""));
    said.check(expect![[r#"
        the artifact is refused: "a" is a link to "../../etc", and an artifact has no links
        the artifact is refused: "a" is a link to "app", and an artifact has no links
        the artifact is refused: "a" is a link to "/etc/shadow", and an artifact has no links
        the artifact is refused: "a" is a device or a pipe
        the artifact is refused: "a" is a device or a pipe
        the artifact is refused: "a" is a device or a pipe
        the artifact is refused: "a/b" is the entry of a folder, and an artifact has files alone
        the artifact is refused: "a" is an entry of the unknown kind 'L'
        the artifact is refused: "a" is an entry of the unknown kind 'g'
    "#]]);
}

#[test]
fn modes_are_two() {
    let mut said = Said::default();
    said.refused(&with_entry("app", b'0', 0o4755, ""));
    said.refused(&with_entry("app", b'0', 0o2644, ""));
    said.refused(&with_entry("app", b'0', 0o755, ""));
    let mode = |mode| FileEntry { mode, ..file("b", b"") };
    said.refused(&with_files(vec![mode(0o4755)]));
    said.refused(&with_files(vec![mode(0o777)]));
    said.check(expect![[r#"
        the artifact is refused: "app" has mode 4755, and set-user-id, set-group-id and sticky bits are refused
        the artifact is refused: "app" has mode 2644, and set-user-id, set-group-id and sticky bits are refused
        the artifact is refused: `app` has mode 0755, and 0644 in its manifest
        `b` has mode 4755: set-user-id, set-group-id and sticky bits are refused
        `b` has mode 0777: files are 0644 or 0755
    "#]]);
}

#[test]
fn manifests_keep_the_same_rules() {
    let mut said = Said::default();
    said.refused(&with_files(vec![file("/b", b"")]));
    said.refused(&with_files(vec![file("b/..", b"")]));
    said.refused(&with_files(vec![file("ignite-artifact.json", b"")]));
    said.refused(&with_files(vec![file("app", b"x")]));
    said.refused(&with_files(vec![file("APP", b"x")]));
    said.refused(&with_files(vec![file("\u{e9}", b""), file("e\u{301}", b"")]));
    said.refused(&with_files(vec![file("Ignite-Artifact.json", b"")]));
    said.refused(&with_files(vec![file("app/b", b"")]));
    said.refused(&with_files(vec![file("App/b/c", b""), file("app-2", b"")]));
    let elsewhere = Manifest::new(bare_head("main"), vec![file("app", b"x")]);
    said.refused(&Archive::new(&elsewhere).file("app", 0o644, b"x").end());
    said.check(expect![[r#"
        the path "/b" is absolute
        the path "b/.." leads to a parent folder with `..`
        the path `ignite-artifact.json` is the manifest's own
        `app` is listed twice
        `APP` and `app` are the same file where case or Unicode normal form does not count
        `é` and `é` are the same file where case or Unicode normal form does not count
        `Ignite-Artifact.json` and `ignite-artifact.json` are the same file where case or Unicode normal form does not count
        `app` is a file, and `app/b` needs it to be a folder
        `app` is a file, and `App/b/c` needs it to be a folder
        the entrypoint "main" is not one of its files
    "#]]);
}

#[test]
fn archive_and_manifest_agree() {
    let mut said = Said::default();
    said.refused(&Archive::new(&one_file(b"x")).file("app", 0o644, b"x").file("b", 0o644, b"").end());
    said.refused(&Archive::new(&one_file(b"x")).file("app", 0o644, b"x").file("app", 0o644, b"x").end());
    said.refused(&Archive::new(&one_file(b"x")).file("app", 0o644, b"y").end());
    said.refused(&Archive::new(&one_file(b"x")).file("app", 0o644, b"xx").end());
    said.refused(&Archive::new(&one_file(b"x")).end());
    said.refused(&with_files(vec![file("c", b""), file("b", b"")]));
    let manifest_again = Archive::new(&one_file(b"x")).file("ignite-artifact.json", 0o644, b"{}").end();
    said.refused(&manifest_again);
    said.check(expect![[r#"
        the artifact is refused: "b" is not in its manifest
        the artifact is refused: "app" comes twice
        the artifact is refused: the content of `app` is not what its manifest says
        the artifact is refused: `app` has 2 bytes, and 1 in its manifest
        the artifact lacks `app`, which its manifest lists
        the artifact lacks `b` and 1 more, which its manifest lists
        the artifact is refused: "ignite-artifact.json" is not in its manifest
    "#]]);
}

#[test]
fn bombs_are_refused_by_their_claims() {
    let mut said = Said::default();
    let limits = ReadLimits { files_max: 2, unpacked_bytes_max: 10, manifest_bytes_max: 4096 };
    let two = vec![file("app", b"x"), file("b", b""), file("c", b"")];
    said.refused_within(&Archive::new(&Manifest::new(bare_head("app"), two)).end(), &limits);
    let large = Manifest::new(bare_head("app"), vec![file("app", &[0; 11])]);
    said.refused_within(&Archive::new(&large).end(), &limits);
    // Two sizes whose sum wraps round to 10.
    let huge = |path, size| FileEntry { size, ..file(path, b"") };
    let wrapping = Manifest::new(bare_head("app"), vec![huge("app", u64::MAX), huge("b", 11)]);
    said.refused_within(&Archive::new(&wrapping).end(), &limits);
    let padded = [manifest_json(&one_file(b"x")), vec![b' '; 4096]].concat();
    said.refused_within(&Archive::with_json(&padded).end(), &limits);
    said.check(expect![[r#"
        it has 3 files, more than 2
        it unpacks to 11 bytes, more than 10
        it unpacks to 18446744073709551615 bytes, more than 10
        the artifact has a manifest of 4417 bytes, more than 4096
    "#]]);
}

/// Gives the same block for ever.
struct Endless {
    start: Vec<u8>,
    at: usize,
    given: u64,
}

impl io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.given < 64 * 1024 * 1024, "the reader goes on without an end");
        for byte in buffer.iter_mut() {
            // A zstd frame header is followed by repeated blocks of one byte, 128 KiB each, that are never the last.
            *byte = self
                .start
                .get(self.at)
                .copied()
                .unwrap_or_else(|| [0x02, 0x00, 0x10, 0x00][(self.at - self.start.len()) % 4]);
            self.at += 1;
        }
        self.given += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn an_input_without_an_end_is_left_early() {
    // Magic, no checksum, window of 1 MiB.
    let mut zeros = Endless { start: vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50], at: 0, given: 0 };
    let error = read(&mut zeros, &ReadLimits::default(), &mut Discard).unwrap_err();
    // A block of zeros ends an archive, and this one goes on.
    assert!(matches!(error, ReadError::TrailingArchive), "{error}");
}

#[test]
fn a_window_larger_than_ours_is_refused() {
    let mut said = Said::default();
    // Window descriptor 0xa0: 2^30 bytes, as `zstd --ultra --long=30` writes.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x03, 0x00, 0x10, 0x00];
    said.refused(&frame);
    said.check(expect![[r#"
        the artifact is damaged: it cannot be decompressed: Frame requires too much memory for decoding
    "#]]);
}

#[test]
fn an_artifact_ends_where_it_ends() {
    let mut said = Said::default();
    let app = || Archive::new(&one_file(b"x")).file("app", 0o644, b"x");
    said.refused(&app().cut());
    said.refused(&app().raw(&[0; 512]).cut());
    said.refused(&app().raw(&[0; 1024]).raw(b"x").cut());
    said.refused(&app().raw(&[0; 1024 + 512]).cut());
    said.refused(&app().raw(&[0; 512]).file("b", 0o644, b"").end());
    for compression in Compression::ALL {
        let (mut artifact, _) = pack(head(), &payload(), compression);
        artifact.push(0);
        said.refused(&artifact);
        artifact.pop();
        // A second frame would be read on as one stream by most tools.
        let twice = [&*artifact, &*artifact].concat();
        said.refused(&twice);
    }
    let padding = Archive::new(&one_file(b"x")).entry(b"app", b'0', 0o644, b"xz", |header| header.set_size(1));
    said.refused(&padding.end());
    said.check(expect![[r#"
        the artifact is truncated: it ends before its last entry does
        the artifact is truncated: it ends before its last entry does
        the artifact has data after the end of its archive
        the artifact has data after the end of its archive
        the artifact has data after the end of its archive
        the artifact has data after its end
        the artifact has data after its end
        the artifact has data after its end
        the artifact has data after its end
        the artifact has data between its entries, before byte 2048 of its archive
    "#]]);
}

#[test]
fn a_cut_artifact_is_truncated_at_every_byte() {
    for compression in Compression::ALL {
        let (artifact, _) = pack(head(), &payload(), compression);
        for end in 0..artifact.len() {
            let error = unpack(&artifact[..end]).unwrap_err();
            let right =
                matches!(error, ReadError::Truncated) || (end == 0 && matches!(error, ReadError::NotAnArtifact));
            assert!(right, "{compression} cut at {end}: {}", chain(&error));
        }
    }
}

#[test]
fn headers_are_plain_ustar() {
    let mut said = Said::default();
    let bad =
        |change: fn(&mut tar::Header)| Archive::new(&one_file(b"x")).entry(b"app", b'0', 0o644, b"x", change).end();
    said.refused(&bad(|header| header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0")));
    said.refused(&bad(|header| header.as_mut_bytes()[345] = b'p'));
    said.refused(&bad(|header| header.as_mut_bytes()[124] = 0x80));
    let sum = Archive::new(&one_file(b"x")).raw(&{
        let mut header = tar::Header::new_ustar();
        header.set_path("app").unwrap();
        header.set_size(1);
        header.set_mode(0o644);
        header.set_cksum();
        header.as_mut_bytes()[0] = b'b';
        *header.as_bytes()
    });
    said.refused(&sum.end());
    let records = |content: &[u8]| {
        Archive::new(&one_file(b"x")).entry(b"x", b'x', 0o644, content, |_| {}).file("app", 0o644, b"x").end()
    };
    said.refused(&records(b"10 size=1\n"));
    said.refused(&records(&[b'1'; 4096]));
    let dangling = Archive::new(&one_file(b"x"))
        .entry(b"x", b'x', 0o644, b"12 path=app\n", |_| {})
        .entry(b"x", b'x', 0o644, b"12 path=app\n", |_| {})
        .file("app", 0o644, b"x")
        .end();
    said.refused(&dangling);
    said.check(expect![[r#"
        the artifact is damaged: the header at byte 1024 of its archive is not a ustar header
        the artifact is damaged: the header at byte 1024 of its archive splits its name
        the artifact is damaged: the header at byte 1024 of its archive has a number that is not octal
        the artifact is damaged: the header at byte 1024 of its archive has a wrong checksum
        the artifact is damaged: the header at byte 1024 of its archive is an extended header with other than one path
        the artifact is damaged: the header at byte 1024 of its archive is an extended header with other than one path
        the artifact is damaged: the header at byte 1024 of its archive is an extended header without a file
    "#]]);
}

#[test]
fn a_manifest_comes_first_and_is_known() {
    let mut said = Said::default();
    said.refused(b"");
    said.refused(b"PK\x03\x04");
    said.refused(&Archive::empty().end());
    said.refused(&Archive::empty().file("app", 0o644, b"x").end());
    let linked = Archive::empty().entry(b"ignite-artifact.json", b'2', 0o644, b"", |_| {}).end();
    said.refused(&linked);
    said.refused(&compress(b"not a tar archive at all"));

    let json = String::from_utf8(manifest_json(&one_file(b"x"))).unwrap();
    let with = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        Archive::with_json(json.replacen(from, to, 1).as_bytes()).file("app", 0o644, b"x").end()
    };
    said.refused(&with("\"format\":1", "\"format\":2,\"shape\":\"round\""));
    said.refused(&with("\"format\":1", "\"format\":0"));
    said.refused(&with("\"format\":1,", ""));
    said.refused(&with("\"format\":1", "\"format\":1,\"shape\":\"round\""));
    said.refused(&with("\"0644\"", "\"644\""));
    said.refused(&with("}]}", "}]"));
    said.refused(&Archive::with_json(&b"[".repeat(100_000)).end());
    said.check(expect![[r#"
        the artifact is not an artifact: it is neither a tar.zst nor a tar.gz file
        the artifact is not an artifact: it is neither a tar.zst nor a tar.gz file
        the artifact is not an artifact: its first entry is not `ignite-artifact.json`
        the artifact is not an artifact: its first entry is not `ignite-artifact.json`
        the artifact is not an artifact: its first entry is not `ignite-artifact.json`
        the artifact is truncated: it ends before its last entry does
        the artifact was made by a newer ignite: it has format 2, and this one reads up to 1; update ignite
        the artifact has format 0, which does not exist
        the artifact has a manifest that cannot be read: missing field `format` at line 1 column 310
        the artifact has a manifest that cannot be read: unknown field `shape`, expected one of `format`, `runtime`, `target`, `kind`, `entrypoint`, `abi`, `name`, `toolchain`, `source`, `limits`, `env`, `dependencies`, `files` at line 1 column 19
        the artifact has a manifest that cannot be read: invalid value: string "644", expected four octal digits at line 1 column 234
        the artifact has a manifest that cannot be read: EOF while parsing an object at line 1 column 320
        the artifact has a manifest that cannot be read: invalid type: sequence, expected u32 at line 1 column 1
    "#]]);
}

#[test]
fn the_manifest_alone_can_be_read() {
    let (artifact, written) = pack(head(), &payload(), Compression::Zstd);
    let limits = ReadLimits::default();
    assert_eq!(read_manifest(&mut &*artifact, &limits).unwrap(), written.manifest);
    let newer = Archive::with_json(b"{\"format\":7}").end();
    assert!(matches!(read_manifest(&mut &*newer, &limits), Err(ReadError::NewerFormat { found: 7 })));
}

#[test]
fn an_input_that_fails_is_no_fault_of_the_artifact() {
    struct Failing<'a>(&'a [u8]);
    impl io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match io::Read::read(&mut self.0, buffer) {
                Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection lost")),
                other => other,
            }
        }
    }
    for compression in Compression::ALL {
        let (artifact, _) = pack(head(), &payload(), compression);
        for end in [0, 1, 3, 20, artifact.len() / 2, artifact.len()] {
            let error = read(&mut Failing(&artifact[..end]), &ReadLimits::default(), &mut Discard).unwrap_err();
            assert!(
                matches!(&error, ReadError::Input(cause) if cause.to_string() == "connection lost"),
                "{end} {error:?}"
            );
        }
    }
}

#[test]
fn a_sink_that_fails_stops_the_reading() {
    struct Full;
    impl Sink for Full {
        fn begin(&mut self, _: &Manifest) -> io::Result<()> {
            Ok(())
        }
        fn file(&mut self, _: &FileEntry, _: &mut dyn io::Read) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let (artifact, _) = pack(head(), &payload(), Compression::Zstd);
    let error = read(&mut &*artifact, &ReadLimits::default(), &mut Full).unwrap_err();
    assert!(matches!(error, ReadError::Sink(cause) if cause.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn a_sink_hears_of_a_wrong_content_and_cannot_hide_it() {
    struct Deaf(Keep, Vec<String>);
    impl Sink for Deaf {
        fn begin(&mut self, manifest: &Manifest) -> io::Result<()> {
            self.0.begin(manifest)
        }
        fn file(&mut self, file: &FileEntry, content: &mut dyn io::Read) -> io::Result<()> {
            if let Err(error) = self.0.file(file, content) {
                self.1.push(error.to_string());
            }
            Ok(())
        }
    }
    let artifact = Archive::new(&one_file(b"x")).file("app", 0o644, b"y").end();
    let mut sink = Deaf(Keep::default(), Vec::new());
    let error = read(&mut &*artifact, &ReadLimits::default(), &mut sink).unwrap_err();
    assert!(matches!(error, ReadError::Digest(path) if path == "app"));
    assert_eq!(sink.1, ["the artifact is refused: the content of `app` is not what its manifest says"]);
    assert!(sink.0.files.is_empty());
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let mut said = Said::default();
    let mut check = |files: &[(&str, u32)]| {
        let files = files.iter().map(|(path, mode)| PayloadFile::from_bytes(*path, *mode, b"x")).collect();
        let mut out = Vec::new();
        let error = write(bare_head("app"), files, Compression::Zstd, &mut out).unwrap_err();
        said.line(&chain(&error));
        assert!(out.is_empty());
    };
    check(&[("app", 0o644), ("../b", 0o644)]);
    check(&[("app", 0o644), ("app", 0o644)]);
    check(&[("app", 0o644), ("README", 0o644), ("readme", 0o644)]);
    check(&[("app", 0o644), ("app/b", 0o644)]);
    check(&[("app", 0o600)]);
    check(&[("app", 0o4755)]);
    check(&[("ignite-artifact.json", 0o644)]);
    check(&[("main", 0o644)]);
    said.check(expect![[r#"
        the path "../b" leads to a parent folder with `..`
        `app` is listed twice
        `README` and `readme` are the same file where case or Unicode normal form does not count
        `app` is a file, and `app/b` needs it to be a folder
        `app` has mode 0600: files are 0644 or 0755
        `app` has mode 4755: set-user-id, set-group-id and sticky bits are refused
        the path `ignite-artifact.json` is the manifest's own
        the entrypoint "app" is not one of its files
    "#]]);
}
