//! Every bound, by an archive that is beyond it.

use std::io::{self, Read, Seek, SeekFrom};

use ignite_core_source::{ArchiveLimits, ReadError, read};

use crate::make::{Got, TarEntry, file, gz, link, of_kind, outcome, tar, zip, zipped, zst};

fn limits() -> ArchiveLimits {
    ArchiveLimits::default()
}

fn refused(archive: &[u8], limits: &ArchiveLimits, why: &str) {
    let text = outcome(archive, limits);
    assert!(text.starts_with(why), "{why}: {text}");
}

#[test]
fn a_bomb_is_refused_while_it_is_small() {
    // 64 MiB of zeros stand for 10 GB: the reader stops at the same place.
    let zeros = vec![0; 64 << 20];
    let size = zeros.len() as u64;
    let entry = TarEntry { size, content: zeros.clone(), ..file("zeros", "") };
    for bomb in [gz(&entry.bytes()), zst(&entry.bytes()), gz(&zeros), zst(&zeros)] {
        assert!(bomb.len() < 100_000);
        refused(&bomb, &limits(), "it unpacks to more than 200 times its size");
    }
    let claimed = TarEntry { size: 10_000_000_000 & 0o777_7777_7777, ..file("zeros", "") };
    refused(&tar(&[claimed]), &limits(), "its files have more than 512 MiB together, with `zeros`");
    let text = "\0".repeat(64 << 20);
    refused(&zip(&[zipped("zeros", &text)]), &limits(), "it unpacks to more than 200 times its size");
}

#[test]
fn a_content_that_repeats_is_no_bomb_while_it_is_small() {
    let text = "0,0,0,0\n".repeat(1 << 20);
    let archive = gz(&tar(&[file("table.csv", &text)]));
    assert!(archive.len() * 200 < text.len());
    assert!(outcome(&archive, &limits()).starts_with("table.csv "));
}

#[test]
fn many_files_are_refused_by_their_number() {
    let names = |count: usize| (0..count).map(|index| file(&format!("f{index}"), "")).collect::<Vec<_>>();
    let few = ArchiveLimits { files_max: 100, ..limits() };
    assert_eq!(outcome(&tar(&names(100)), &few).lines().count(), 100);
    refused(&tar(&names(101)), &few, "it has more than 100 files");
    // A million empty files are refused at the 20,001st, of which an archive has 10 MB.
    refused(&gz(&tar(&names(20_001))), &limits(), "it has more than 20000 files");
    let few = ArchiveLimits { entries_max: 100, ..limits() };
    let left_out: Vec<TarEntry> = (0..101).map(|index| file(&format!("node_modules/f{index}"), "")).collect();
    refused(&tar(&left_out), &few, "it has more than 100 entries");
    refused(&zip(&vec![zipped("a", ""); 101]), &few, "it has more than 100 entries");
    let few = ArchiveLimits { folders_max: 100, ..limits() };
    let deep: Vec<TarEntry> = (0..51).map(|index| file(&format!("a{index}/b/f"), "")).collect();
    refused(&tar(&deep), &few, "it has more than 100 folders");
    let folders: Vec<TarEntry> = (0..101).map(|index| of_kind(&format!("a{index}"), b'5')).collect();
    refused(&tar(&folders), &few, "it has more than 100 folders");
}

#[test]
fn depth_and_sizes_have_their_bounds() {
    let deep = |parts: usize| TarEntry { kind: b'L', ..file("@", &format!("{}f\0", "a/".repeat(parts - 1))) };
    assert!(outcome(&tar(&[deep(64), file("x", "")]), &limits()).ends_with("f \"\"\n"));
    assert!(outcome(&tar(&[deep(65), file("x", "")]), &limits()).contains("is more than 64 folders deep"));
    let small = ArchiveLimits { unpacked_bytes_max: 10, ..limits() };
    refused(
        &tar(&[file("a", "12345"), file("b", "123456")]),
        &small,
        "its files have more than 10 bytes together, with `b`",
    );
    refused(&tar(&[file("a", "12345"), link("b", "a"), link("c", "a")]), &small, "its files have more than 10 bytes");
    refused(&zip(&[zipped("a", "12345678901")]), &small, "its files have more than 10 bytes together, with `a`");
    let small = ArchiveLimits { read_bytes_max: 4096, ..limits() };
    refused(&gz(&tar(&[file("node_modules/a", &"x".repeat(5000))])), &small, "more than 4096 bytes come out of it");
    let small = ArchiveLimits { archive_bytes_max: 1000, ..limits() };
    refused(&tar(&[file("a", "")]), &small, "it has 1536 bytes, more than 1000 bytes");
}

/// Fails after some bytes.
struct Failing(io::Cursor<Vec<u8>>, u64);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.position() >= self.1 {
            Err(io::Error::other("the disk is gone"))
        } else {
            self.0.read(&mut buffer[..1])
        }
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn an_input_that_fails_is_told_from_a_bad_archive() {
    let bare = tar(&[file("a", "text")]);
    for archive in [gz(&bare), zst(&bare), bare, zip(&[zipped("a", "text")])] {
        for after in [0, 30] {
            let mut input = Failing(io::Cursor::new(archive.clone()), after);
            let error = read(&mut input, &limits(), &mut Got::default()).unwrap_err();
            assert!(matches!(error, ReadError::Input(_)), "{error}");
            assert_eq!(error.fault(), ignite_core_model::Fault::Internal);
        }
    }
}
