//! Zip archives.

use expect_test::{Expect, expect};
use ignite_core_source::ArchiveLimits;

use crate::make::{ZipEntry, deflated, outcome, take, zip, zipped};

fn check(entries: &[ZipEntry], expected: &Expect) {
    expected.assert_eq(&outcome(&zip(entries), &ArchiveLimits::default()));
}

fn stored(name: &str, content: &str) -> ZipEntry {
    ZipEntry { method: 0, packed: content.as_bytes().to_vec(), ..zipped(name, content) }
}

fn linked(name: &str, target: &str) -> ZipEntry {
    ZipEntry { mode: 0o120_777, ..stored(name, target) }
}

#[test]
fn what_common_tools_write_is_taken() {
    check(
        &[
            ZipEntry { mode: 0o040_755, ..stored("src/", "") },
            ZipEntry { mode: 0o100_755, ..zipped("src/run.sh", "#!") },
            ZipEntry { mode: 0, ..stored("handler.py", "def handler") },
            ZipEntry { flags: 8, ..zipped("streamed.py", "as a stream") },
            ZipEntry { flags: 8, ..stored("kept.py", "as it is") },
            linked("link", "src/run.sh"),
            zipped("__MACOSX/._handler.py", "attributes"),
        ],
        &expect![[r##"
            handler.py "def handler"
            kept.py "as it is"
            link* "#!"
            src/run.sh* "#!"
            streamed.py "as a stream"
        "##]],
    );
    let (read, _) = take(&zip(&[zipped("a", ""), zipped(".git/x", "")]), &ArchiveLimits::default()).unwrap();
    assert_eq!((read.format.to_string().as_str(), read.files, read.left_out), ("zip", 1, 1));
    assert!(outcome(&zip(&[]), &ArchiveLimits::default()).starts_with("there are no files in it"));
}

#[test]
fn what_leaves_the_root_or_is_no_file_is_refused() {
    for (entry, why) in [
        (zipped("../evil", ""), "the path `../evil` of an entry leads to a parent folder"),
        (zipped("/etc/passwd", ""), "the path `/etc/passwd` of an entry is absolute"),
        (zipped("..\\evil", ""), "the path `..\\evil` of an entry has a backslash"),
        (zipped("C:\\evil", ""), "the path `C:\\evil` of an entry has a backslash"),
        (zipped(&"a/".repeat(3000), ""), "the path `a/a/"),
        (zipped(&"a".repeat(300), ""), "the path `aaa"),
        (zipped("a\0b", ""), "the path `a\\u{0}b` of an entry has a control character"),
        (linked("l", "../../etc/passwd"), "`l` is a link to `../../etc/passwd`, out of its root"),
        (linked("l", "/etc/passwd"), "`l` is a link to `/etc/passwd`, out of its root"),
        (linked("l", &"a".repeat(5000)), "`l` is a link to `aaa"),
        (linked("l", ""), "`l` is a link to ``"),
        (ZipEntry { mode: 0o020_644, ..stored("d", "") }, "`d` is a device"),
        (ZipEntry { mode: 0o060_644, ..stored("d", "") }, "`d` is a device"),
        (ZipEntry { mode: 0o010_644, ..stored("d", "") }, "`d` is a named pipe"),
        (ZipEntry { mode: 0o140_644, ..stored("d", "") }, "`d` is a socket"),
        (ZipEntry { mode: 0o104_755, ..stored("d", "") }, "`d` has mode 4755"),
        (ZipEntry { flags: 1, ..zipped("secret", "x") }, "`secret` is encrypted"),
        (ZipEntry { method: 12, ..zipped("bz", "x") }, "`bz` is compressed with BZIP2"),
        (ZipEntry { method: 777, ..zipped("odd", "x") }, "`odd` is compressed with method 777"),
        (stored("dir/", "content"), "it is damaged: `dir/` is a folder with a content"),
    ] {
        let text = outcome(&zip(&[entry]), &ArchiveLimits::default());
        assert!(text.starts_with(why), "{why}: {text}");
    }
    let twice = outcome(&zip(&[zipped("a", "1"), zipped("a", "2")]), &ArchiveLimits::default());
    assert!(twice.starts_with("`a` comes twice"), "{twice}");
    let clash = outcome(&zip(&[zipped("a", "1"), zipped("A", "2")]), &ArchiveLimits::default());
    assert!(clash.starts_with("`A` and `a` differ only by case"), "{clash}");
}

#[test]
fn the_list_and_the_headers_must_agree() {
    let a = || zipped("a", "some text");
    for (entries, why) in [
        (vec![ZipEntry { local_name: b"b".to_vec(), ..a() }], "`a` is called otherwise before its content"),
        (vec![ZipEntry { crc: 1, ..a() }], "`a` has another checksum than the list says"),
        (vec![ZipEntry { size: 8, ..a() }], "`a` has another size than the list says"),
        (vec![ZipEntry { size: 10, ..a() }], "`a` has another size than the list says"),
        (vec![ZipEntry { size: 8, ..stored("a", "some text") }], "`a` has another size than its content"),
        (vec![a(), ZipEntry { offset: Some(0), ..a() }], "`a` shares its bytes with another entry"),
        (
            vec![ZipEntry { packed: [deflated(b"some text"), vec![7; 9]].concat(), ..a() }],
            "`a` has data after its content",
        ),
    ] {
        let text = outcome(&zip(&entries), &ArchiveLimits::default());
        assert!(text.contains(why), "{why}: {text}");
    }
    let text = outcome(&zip(&[ZipEntry { packed: vec![0xff; 20], ..a() }]), &ArchiveLimits::default());
    assert!(text.starts_with("it is damaged: it cannot be decompressed"), "{text}");
}

#[test]
fn nothing_may_stand_before_or_behind() {
    let sound = zip(&[zipped("a", "some text")]);
    let behind = outcome(&[&sound[..], b"x"].concat(), &ArchiveLimits::default());
    assert!(behind.starts_with("there is other data after its end"), "{behind}");
    let before = outcome(&[b"PK\x03\x04stub".to_vec(), sound.clone()].concat(), &ArchiveLimits::default());
    assert!(before.contains("there is other data before its first entry") || before.contains("damaged"), "{before}");
    for cut in 4..sound.len() {
        let text = outcome(&sound[..cut], &ArchiveLimits::default());
        assert!(text.contains("truncated") || text.contains("damaged"), "{cut}: {text}");
    }
}
