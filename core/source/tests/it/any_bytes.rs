//! Any bytes: refused or taken within the bounds, never a panic. The fuzz target does the same for longer.

use ignite_core_source::ArchiveLimits;
use proptest::prelude::*;

use crate::make::{file, gz, link, of_kind, take, tar, zip, zipped, zst};

const LIMITS: ArchiveLimits = ArchiveLimits {
    archive_bytes_max: 1 << 20,
    unpacked_bytes_max: 1 << 16,
    read_bytes_max: 1 << 18,
    ratio_max: 50,
    ratio_free_bytes: 1 << 12,
    entries_max: 64,
    files_max: 32,
    folders_max: 32,
    depth_max: 8,
};

fn look_at(bytes: &[u8]) {
    if let Ok((read, got)) = take(bytes, &LIMITS) {
        assert_eq!(read.files, got.0.len());
        assert!(read.files <= LIMITS.files_max && read.bytes <= LIMITS.unpacked_bytes_max);
        for path in got.0.keys() {
            assert!(!path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let bare = tar(&[file("a/b.py", "text"), link("c", "a/b.py"), of_kind("d/", b'5')]);
    let zipped = zip(&[zipped("a/b.py", "text"), zipped("c", "")]);
    vec![gz(&bare), zst(&bare), bare, zipped]
}

#[test]
fn one_flipped_bit_is_no_panic() {
    for seed in seeds() {
        for bit in 0..seed.len() * 8 {
            let mut bytes = seed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            look_at(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048), kind in 0..4_usize) {
        look_at(&bytes);
        look_at(&gz(&bytes));
        let mut seed = seeds().swap_remove(kind);
        let at = bytes.len() % seed.len();
        let end = (at + bytes.len()).min(seed.len());
        seed[at..end].copy_from_slice(&bytes[..end - at]);
        look_at(&seed);
    }
}
