//! Any bytes as an uploaded source: refused, or handed on as files with sound paths, within the limits.
#![no_main]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use ignite_core_source::{ArchiveLimits, Sink, SourceEntry, read};
use libfuzzer_sys::fuzz_target;

/// Small, so that a reader which ignores them is noticed soon.
const LIMITS: ArchiveLimits = ArchiveLimits {
    archive_bytes_max: 1 << 20,
    unpacked_bytes_max: 1 << 18,
    read_bytes_max: 1 << 20,
    ratio_max: 50,
    ratio_free_bytes: 1 << 14,
    entries_max: 128,
    files_max: 64,
    folders_max: 64,
    depth_max: 8,
};

/// Compares what comes with what was announced.
#[derive(Default)]
struct Check {
    files: BTreeMap<String, u64>,
    bytes: u64,
}

impl Check {
    fn note(&mut self, file: &SourceEntry) {
        let path = &file.path;
        assert!(!path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert!(path.split('/').count() <= LIMITS.depth_max);
        assert!(self.files.insert(path.clone(), file.size).is_none());
        self.bytes += file.size;
    }
}

impl Sink for Check {
    fn file(&mut self, file: &SourceEntry, content: &mut dyn Read) -> io::Result<()> {
        self.note(file);
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, file.size);
        Ok(())
    }

    fn copy(&mut self, from: &str, file: &SourceEntry) -> io::Result<()> {
        assert_eq!(self.files[from], file.size);
        self.note(file);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut check = Check::default();
    if let Ok(source) = read(&mut Cursor::new(data), &LIMITS, &mut check) {
        assert_eq!(check.files.len(), source.files);
        assert_eq!(check.bytes, source.bytes);
        assert!(source.files <= LIMITS.files_max && source.bytes <= LIMITS.unpacked_bytes_max);
    }
});
