//! Tar archives.

use expect_test::{Expect, expect};
use ignite_core_source::{ArchiveFormat, ArchiveLimits};

use crate::make::{TarEntry, file, gz, link, of_kind, outcome, summed, take, tar, zst};

fn check(entries: &[TarEntry], expected: &Expect) {
    expected.assert_eq(&outcome(&tar(entries), &ArchiveLimits::default()));
}

fn check_bytes(bytes: &[u8], expected: &Expect) {
    expected.assert_eq(&outcome(bytes, &ArchiveLimits::default()));
}

#[test]
fn each_form_is_told_by_its_bytes() {
    let bare = tar(&[file("handler.py", "x")]);
    for (archive, format) in
        [(bare.clone(), ArchiveFormat::Tar), (gz(&bare), ArchiveFormat::TarGz), (zst(&bare), ArchiveFormat::TarZst)]
    {
        let (read, got) = take(&archive, &ArchiveLimits::default()).unwrap();
        assert_eq!((read.format, read.files, read.bytes, read.left_out), (format, 1, 1, 0));
        assert_eq!(read.archive_bytes, archive.len() as u64);
        assert_eq!(got.lines(), "handler.py \"x\"\n");
    }
}

#[test]
fn what_common_tools_write_is_taken() {
    let long = format!("{}/handler.py", "folder/".repeat(20).trim_end_matches('/'));
    let pax = |record: &str| TarEntry { kind: b'x', ..file("PaxHeaders/x", record) };
    let record = format!("{} path={long}\n", long.len() + 10);
    check(
        &[
            of_kind("./", b'5'),
            TarEntry { kind: b'g', ..file("pax_global_header", "19 comment=0123456\n") },
            TarEntry { mode: 0o755, ..file("./run.sh", "#!") },
            TarEntry { mode: 0o2775, ..of_kind("./src/", b'5') },
            file("./src/a.py", "a"),
            TarEntry { kind: b'L', ..file("././@LongLink", &format!("{long}\0")) },
            file("folder/folder", "gnu"),
            pax(&record.replace("handler.py", "handle2.py")),
            file("cut", "pax"),
            TarEntry { kind: 0, ..file("old.py", "v7") },
            TarEntry { kind: 0, ..of_kind("old/", 0) },
        ],
        &expect![[r##"
            folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/handle2.py "pax"
            folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/handler.py "gnu"
            old.py "v7"
            run.sh* "#!"
            src/a.py "a"
        "##]],
    );
}

#[test]
fn links_inside_become_copies() {
    check(
        &[
            link("early", "src/run.sh"),
            TarEntry { mode: 0o755, ..file("src/run.sh", "#!") },
            link("src/again", "../early"),
            TarEntry { kind: b'1', ..link("hard", "src/run.sh") },
        ],
        &expect![[r##"
            early* "#!"
            hard* "#!"
            src/again* "#!"
            src/run.sh* "#!"
        "##]],
    );
}

#[test]
fn what_is_never_a_source_is_left_out_unseen() {
    let archive = tar(&[
        file("handler.py", ""),
        file(".git/config", "[core]"),
        link("app/.venv/bin/python", "/usr/bin/python3"),
        of_kind("node_modules/x/socket", b'6'),
        TarEntry { mode: 0o4755, ..file("target/debug/app", "") },
        file(".env", "TOKEN=1"),
        file("._handler.py", "\0\x05\x16\x07"),
    ]);
    let (read, got) = take(&archive, &ArchiveLimits::default()).unwrap();
    assert_eq!((got.lines().as_str(), read.left_out), ("handler.py \"\"\n", 6));
    check(
        &[file("node_modules/../../etc/passwd", "")],
        &expect![[r"
            the path `node_modules/../../etc/passwd` of an entry leads to a parent folder with `..`
            hint: pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`
        "]],
    );
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for (name, why) in [
        ("../evil", "leads to a parent folder with `..`"),
        ("a/../../evil", "leads to a parent folder with `..`"),
        ("/etc/passwd", "is absolute"),
        ("a\\..\\b", "has a backslash"),
        ("a//b", "has an empty part or `.`"),
        ("a\x07b", "has a control character"),
    ] {
        let text = outcome(&tar(&[file(name, "")]), &ArchiveLimits::default());
        assert!(text.contains(why) && text.starts_with("the path `"), "{name:?}: {text}");
    }
    let long = format!("{}\0", "a".repeat(300));
    check(
        &[TarEntry { kind: b'L', ..file("@", &long) }, file("a", "")],
        &expect![[r#"
            the path `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` of an entry is longer than 1024 bytes or has a part longer than 255
            hint: pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`
        "#]],
    );
    let mut latin = file("gr", "");
    latin.name.push(0xf6);
    check(
        &[latin],
        &expect![[r"
            the path `gr�` of an entry is not UTF-8
            hint: pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`
        "]],
    );
    let nul = |record: &str| TarEntry { kind: b'x', ..file("x", record) };
    check(
        &[nul("14 path=a\0.py\n"), file("a", "")],
        &expect![[r"
            the path `a\u{0}.py` of an entry has a control character
            hint: pack the folder from inside it, so that names begin there: `tar czf app.tar.gz -C DIR .`
        "]],
    );
}

#[test]
fn links_that_leave_the_root_are_refused() {
    check(
        &[link("passwd", "/etc/passwd")],
        &expect![[r"
            `passwd` is a link to `/etc/passwd`, out of its root
            hint: put the files themselves in place of the link, or leave it out with .igniteignore
        "]],
    );
    for entry in [
        link("a/b", "../../x"),
        TarEntry { kind: b'1', ..link("a", "../x") },
        TarEntry { kind: b'1', ..link("a", "/etc/shadow") },
    ] {
        let text = outcome(&tar(&[entry]), &ArchiveLimits::default());
        assert!(text.contains("out of its root"), "{text}");
    }
    check(
        &[link("dir", "src"), file("src/a", ""), file("dir/b", "written through the link")],
        &expect![[r"
            `dir` is both a file and a folder
            hint: take it out of the archive
        "]],
    );
    check(
        &[file("src/a", ""), link("dir", "src")],
        &expect![[r"
            `dir` is a link to `src`, which is a folder
            hint: put the files themselves in place of the link, or leave it out with .igniteignore
        "]],
    );
    check(
        &[link("one", "two"), link("two", "one"), file("a", "")],
        &expect![[r"
            `one` is a link to `two`, which leads back or through too many links
            hint: put the files themselves in place of the link, or leave it out with .igniteignore
        "]],
    );
    check(
        &[TarEntry { kind: b'1', ..link("hard", "later") }, file("later", "")],
        &expect![[r"
            `hard` is a link to `later`, and there is no such file
            hint: put the files themselves in place of the link, or leave it out with .igniteignore
        "]],
    );
}

#[test]
fn what_is_no_file_is_refused() {
    for (kind, what) in [
        (b'3', "`odd` is a device"),
        (b'4', "`odd` is a device"),
        (b'6', "`odd` is a named pipe"),
        (b'V', "`odd` is an entry of the kind 'V', which no source needs"),
        (b'M', "`odd` is an entry of the kind 'M', which no source needs"),
        (b'S', "is of a sparse file"),
    ] {
        let text = outcome(&tar(&[file("a", ""), of_kind("odd", kind)]), &ArchiveLimits::default());
        assert!(text.lines().next().unwrap().contains(what), "{text}");
    }
    for mode in [0o4755, 0o2755, 0o1644] {
        let text = outcome(&tar(&[TarEntry { mode, ..file("su", "") }]), &ArchiveLimits::default());
        assert!(text.starts_with(&format!("`su` has mode {mode:04o}, and no source may")), "{text}");
    }
}

#[test]
fn names_that_some_systems_take_for_one_are_refused() {
    for (one, other) in [
        ("Handler.py", "handler.py"),
        ("src/a", "SRC/b"),
        ("gr\u{f6}\u{df}e", "gro\u{308}sse"),
        ("\u{212b}.txt", "\u{e5}.txt"),
    ] {
        let text = outcome(&tar(&[file(one, "1"), file(other, "2")]), &ArchiveLimits::default());
        assert!(text.contains("differ only by case or by Unicode's normal form"), "{text}");
    }
    check(
        &[file("a", "1"), file("./a", "2")],
        &expect![[r"
            `a` comes twice
            hint: take it out of the archive
        "]],
    );
    check(
        &[file("a", "1"), file("a/b", "2")],
        &expect![[r"
            `a` is both a file and a folder
            hint: take it out of the archive
        "]],
    );
    check(
        &[file("a/", "1")],
        &expect![[r"
            it is damaged: the header at byte 0 of its archive has a size that it cannot have
            hint: make the archive again, and upload the whole of it
        "]],
    );
}

#[test]
fn two_readers_see_the_same() {
    let pax = |record: &str| TarEntry { kind: b'x', ..file("x", record) };
    let global = |record: &str| TarEntry { kind: b'g', ..file("g", record) };
    for (entries, why) in [
        (vec![pax("9 size=1\n"), file("a", "1234")], "has a size that it cannot have"),
        (vec![global("10 path=a\n"), file("b", "")], "names all entries after it"),
        (
            vec![TarEntry { size: 4, content: b"1234".to_vec(), ..of_kind("dir", b'5') }],
            "has a size that it cannot have",
        ),
        (vec![TarEntry { size: 4, content: b"1234".to_vec(), ..link("l", "a") }], "has a size that it cannot have"),
        (vec![file("a", ""), pax("10 path=b\n")], "is an extended header without an entry"),
        (vec![pax("11 path=bc\n12 path"), file("a", "")], "is an extended header that cannot be read"),
        (
            vec![TarEntry { kind: b'L', ..file("@", "no-nul") }, file("a", "")],
            "is an extended header that cannot be read",
        ),
        (
            vec![TarEntry { kind: b'x', size: 2 << 20, ..file("x", "") }, file("a", "")],
            "is an extended header that cannot be read",
        ),
    ] {
        let text = outcome(&tar(&entries), &ArchiveLimits::default());
        assert!(text.contains(why), "{why}: {text}");
    }
    let mut header: [u8; 512] = file("a", "").bytes().try_into().unwrap();
    header[124..136].copy_from_slice(b"+0000000001\0");
    let bytes = [&file("b", "").bytes()[..], &summed(header), &[0; 1024]].concat();
    assert!(outcome(&bytes, &ArchiveLimits::default()).contains("has a number that cannot be read"));
}

#[test]
fn an_archive_that_was_cut_is_refused_wherever() {
    let bare = tar(&[file("handler.py", "some text"), file("b", "more")]);
    for cut in (512..bare.len()).step_by(7) {
        let text = outcome(&bare[..cut], &ArchiveLimits::default());
        assert!(text.contains("truncated"), "{cut}: {text}");
    }
    for whole in [gz(&bare), zst(&bare)] {
        for cut in 20..whole.len() {
            let text = outcome(&whole[..cut], &ArchiveLimits::default());
            assert!(text.contains("truncated"), "{cut}: {text}");
        }
    }
    check_bytes(
        &bare[..515],
        &expect![[r"
            it is truncated: it ends within `handler.py`
            hint: make the archive again, and upload the whole of it
        "]],
    );
}

#[test]
fn nothing_may_follow_the_end() {
    let bare = tar(&[file("a", "")]);
    let padded = [&bare[..], &[0; 9000]].concat();
    assert_eq!(outcome(&padded, &ArchiveLimits::default()), "a \"\"\n", "tapes have records of 10,240 bytes");
    let twice = [bare.clone(), bare.clone()].concat();
    for (archive, why) in [
        (twice.clone(), "there is other data after the end of its archive"),
        (gz(&twice), "there is other data after the end of its archive"),
        ([gz(&bare), b"x".to_vec()].concat(), "there is other data after its end"),
        ([gz(&bare), gz(&bare)].concat(), "there is other data after its end"),
        ([zst(&bare), b"x".to_vec()].concat(), "there is other data after its end"),
        ([&bare[..bare.len() - 512], &[1; 512]].concat(), "there is other data after the end of its archive"),
    ] {
        let text = outcome(&archive, &ArchiveLimits::default());
        assert!(text.starts_with(why), "{why}: {text}");
    }
}

#[test]
fn what_is_no_archive_is_told_what_it_is() {
    for (bytes, what) in [
        (&b"BZh91AY&SY"[..], "it is compressed with bzip2, and"),
        (b"\xfd7zXZ\0\0", "it is compressed with xz, and"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive, and"),
        (b"Rar!\x1a\x07", "it is a RAR archive, and"),
        (b"def handler(payload, ctx):", "it is no archive that is known, and"),
        (b"", "it is no archive that is known, and"),
        (&[0; 4096], "it is no archive that is known, and"),
        (&gz(&[b'x'; 2000]), "it is compressed, but no tar archive, and"),
    ] {
        let text = outcome(bytes, &ArchiveLimits::default());
        assert!(text.starts_with(what), "{what}: {text}");
    }
    check(
        &[file("ignite-artifact.json", "{}"), file("app", "")],
        &expect![[r"
            it is an artifact, which was compiled already, and no source
            hint: serve it with `ignite run FILE`
        "]],
    );
    check(
        &[of_kind("src/", b'5'), file(".env", "")],
        &expect![[r"
            there are no files in it
            hint: pack the folder with the handler in it: `tar czf app.tar.gz -C DIR .`
        "]],
    );
}
