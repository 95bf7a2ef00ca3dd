//! Digests of streams.

use std::io::{self, Read, Write};

use ignite_core_model::Digest;
use sha2::{Digest as _, Sha256};

const CHUNK_BYTES: usize = 64 * 1024;

/// Copies everything and tells its digest and length.
pub(crate) fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok((Digest::from_bytes(hash.finalize().into()), total)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        total += read as u64;
    }
}

/// The digest and length of everything.
pub(crate) fn of(from: &mut dyn Read) -> io::Result<(Digest, u64)> {
    copy(from, &mut io::sink())
}
