//! What is written reads back, is the same every time, and is an ordinary archive to others.

use std::cell::Cell;
use std::io::{self, Read};

use ignite_core_artifact::{Compression, PayloadFile, WriteError, write};
use ignite_core_model::Digest;

use crate::support::{bare_head, head, pack, payload, unpack};

#[test]
fn what_is_written_reads_back() {
    for compression in Compression::ALL {
        let (artifact, written) = pack(head(), &payload(), compression);
        assert_eq!(written.digest, Digest::of(&artifact));
        assert_eq!(written.bytes, artifact.len() as u64);
        let (read, keep) = unpack(&artifact).unwrap();
        assert_eq!((read.digest, read.bytes), (written.digest, written.bytes));
        assert_eq!(read.manifest, written.manifest);
        assert_eq!(keep.manifest, Some(written.manifest));
        for (path, mode, content) in payload() {
            assert_eq!(keep.files[&path], (mode, content));
        }
        assert_eq!(keep.files.len(), payload().len());
    }
}

/// Gives one to seven bytes at a time, and is interrupted now and then.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = (self.1 % 7 + 1).min(buffer.len());
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn order_and_pace_leave_the_bytes_alone() {
    let mut large: Vec<u8> =
        (0..400_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    large.truncate(1_500_001);
    let mut files = payload();
    files.push(("large.bin".to_owned(), 0o644, large));
    for compression in Compression::ALL {
        let (artifact, _) = pack(head(), &files, compression);
        let slow = files
            .iter()
            .rev()
            .map(|(path, mode, content)| PayloadFile::new(path.clone(), *mode, || Ok(Box::new(Slow(content, 0)))))
            .collect();
        let mut again = Vec::new();
        write(head(), slow, compression, &mut again).unwrap();
        assert!(again == artifact, "{compression}");
        let read = ignite_core_artifact::read(
            &mut Slow(&artifact, 0),
            &ignite_core_artifact::ReadLimits::default(),
            &mut ignite_core_artifact::Discard,
        );
        assert_eq!(read.unwrap().digest, Digest::of(&artifact));
    }
}

#[test]
fn other_tools_read_it_too() {
    let (artifact, written) = pack(head(), &payload(), Compression::Gzip);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*artifact));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        assert_eq!(entry.header().mtime().unwrap() + entry.header().uid().unwrap() + entry.header().gid().unwrap(), 0);
        found.push((path, entry.header().mode().unwrap(), content));
    }
    assert_eq!(found.remove(0).0, "ignite-artifact.json");
    let mut expected = payload();
    expected.sort();
    assert_eq!(found, expected);
    assert!(written.manifest.files.is_sorted_by_key(|file| file.path.as_str()));
}

#[test]
fn a_small_app_stays_small() {
    let source = b"def handler(payload, ctx):\n    return {\"hello\": \"world\"}\n".to_vec();
    let (artifact, _) = pack(bare_head("handler.py"), &[("handler.py".to_owned(), 0o644, source)], Compression::Zstd);
    assert!(artifact.len() < 600, "{} bytes", artifact.len());
}

#[test]
fn a_file_that_changes_meanwhile_is_told() {
    let opened = Cell::new(0u32);
    let content = || {
        opened.set(opened.get() + 1);
        let text: &[u8] = if opened.get() == 1 { b"first" } else { b"other" };
        Ok(Box::new(text) as Box<dyn Read>)
    };
    let files = vec![PayloadFile::new("app", 0o755, content)];
    let error = write(bare_head("app"), files, Compression::Zstd, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::Changed(path) if path == "app"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = || Err(io::ErrorKind::NotFound.into());
    let files = vec![PayloadFile::new("app", 0o755, missing)];
    let error = write(bare_head("app"), files, Compression::Zstd, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "could not read `app`");
}

#[test]
fn an_output_that_is_full_is_told() {
    let mut space = [0; 100];
    let files = vec![PayloadFile::from_bytes("app", 0o755, b"x")];
    let error = write(bare_head("app"), files, Compression::Zstd, &mut &mut space[..]).unwrap_err();
    assert!(matches!(error, WriteError::Output(_)));
}
