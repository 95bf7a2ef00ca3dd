//! Damage of every kind ends in an error or changes nothing that counts; it never panics.

use ignite_core_artifact::Compression;
use proptest::prelude::*;

use crate::support::{compress, head, pack, payload, unpack};

/// A payload with few bytes, so that each of its bits can have its turn.
fn small() -> Vec<(String, u32, Vec<u8>)> {
    payload().into_iter().filter(|(path, ..)| ["handler.py", "tools/run.sh"].contains(&path.as_str())).collect()
}

#[test]
fn a_flipped_bit_is_found_or_counts_for_nothing() {
    for compression in Compression::ALL {
        let (artifact, _) = pack(head(), &small(), compression);
        let (whole, kept) = unpack(&artifact).unwrap();
        let mut harmless = 0;
        for byte in 0..artifact.len() {
            for bit in 0..8 {
                let mut damaged = artifact.clone();
                damaged[byte] ^= 1 << bit;
                if let Ok((read, keep)) = unpack(&damaged) {
                    assert_eq!(keep, kept, "{compression}: bit {bit} of byte {byte} changes what is read");
                    assert_ne!(read.digest, whole.digest);
                    harmless += 1;
                }
            }
        }
        // Time, name and origin in gzip's header; the unused bit in zstd's.
        assert!(harmless < 100, "{compression}: {harmless} flips were not found");
    }
}

/// The archive inside an artifact.
fn archive() -> Vec<u8> {
    let (artifact, _) = pack(head(), &small(), Compression::Gzip);
    let mut archive = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*artifact), &mut archive).unwrap();
    archive
}

proptest! {
    /// Without the compression's checksum in the way: what is read is what the manifest says, or nothing.
    #[test]
    fn a_damaged_archive_is_refused_or_consistent(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in prop::option::of(any::<prop::sample::Index>())) {
        let mut damaged = archive();
        for (place, byte) in edits {
            let place = place.index(damaged.len());
            damaged[place] = byte;
        }
        if let Some(cut) = cut {
            damaged.truncate(cut.index(damaged.len()));
        }
        if let Ok((read, keep)) = unpack(&compress(&damaged)) {
            prop_assert_eq!(read.manifest.files.len(), keep.files.len());
            for file in &read.manifest.files {
                prop_assert_eq!(ignite_core_model::Digest::of(&keep.files[&file.path].1), file.sha256);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), magic in 0usize..3) {
        let start: &[u8] = [&b""[..], &[0x28, 0xb5, 0x2f, 0xfd], &[0x1f, 0x8b, 8, 0]][magic];
        let _ = unpack(&[start, &bytes].concat());
        let _ = unpack(&compress(&bytes));
    }
}
