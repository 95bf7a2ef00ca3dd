//! What holds for every manifest, written or read.

use crate::path::{PathFault, check_path, folded};
use crate::read::ReadLimits;
use crate::{MANIFEST_NAME, MODE_FILE, MODE_PROGRAM, Manifest};

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    /// The path of a file leaves the artifact or has another spelling.
    #[error("the path {path:?} {fault}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A file has the manifest's own name.
    #[error("the path `{MANIFEST_NAME}` is the manifest's own")]
    Reserved,
    /// A mode with the set-user-id, set-group-id or sticky bit.
    #[error("`{path}` has mode {mode:04o}: set-user-id, set-group-id and sticky bits are refused")]
    SpecialMode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A mode other than the two there are.
    #[error("`{path}` has mode {mode:04o}: files are 0644 or 0755")]
    Mode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// One path twice.
    #[error("`{0}` is listed twice")]
    Duplicate(String),
    /// Two paths that are one on file systems which ignore case or Unicode normal forms.
    #[error("`{first}` and `{second}` are the same file where case or Unicode normal form does not count")]
    Collision {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A path goes through something that is a file.
    #[error("`{file}` is a file, and `{below}` needs it to be a folder")]
    FileAsFolder {
        /// The file.
        file: String,
        /// The file below it.
        below: String,
    },
    /// More files than allowed.
    #[error("it has {found} files, more than {max}")]
    TooManyFiles {
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: usize,
    },
    /// More bytes than allowed, unpacked.
    #[error("it unpacks to {found} bytes, more than {max}")]
    TooManyBytes {
        /// How many bytes it unpacks to.
        found: u64,
        /// How many it may unpack to.
        max: u64,
    },
    /// The entrypoint is not among the files.
    #[error("the entrypoint {0:?} is not one of its files")]
    Entrypoint(String),
}

/// Checks everything that can be checked without the payload.
pub(crate) fn check(manifest: &Manifest, limits: &ReadLimits) -> Result<(), ManifestFault> {
    let found = manifest.files.len();
    if found > limits.files_max {
        return Err(ManifestFault::TooManyFiles { found, max: limits.files_max });
    }
    let bytes = manifest.unpacked_bytes();
    if bytes > limits.unpacked_bytes_max {
        return Err(ManifestFault::TooManyBytes { found: bytes, max: limits.unpacked_bytes_max });
    }
    for file in &manifest.files {
        check_file(&file.path, file.mode)?;
    }
    check_names(manifest)?;
    if !manifest.files.iter().any(|file| file.path == manifest.entrypoint) {
        return Err(ManifestFault::Entrypoint(manifest.entrypoint.clone()));
    }
    Ok(())
}

/// Checks one file's path and mode.
pub(crate) fn check_file(path: &str, mode: u32) -> Result<(), ManifestFault> {
    check_path(path).map_err(|fault| ManifestFault::Path { path: path.to_owned(), fault })?;
    if path == MANIFEST_NAME {
        return Err(ManifestFault::Reserved);
    }
    if mode & 0o7000 != 0 {
        return Err(ManifestFault::SpecialMode { path: path.to_owned(), mode });
    }
    if mode != MODE_FILE && mode != MODE_PROGRAM {
        return Err(ManifestFault::Mode { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Checks that every file gets a place of its own on every file system.
fn check_names(manifest: &Manifest) -> Result<(), ManifestFault> {
    // With NUL for `/`, which no path contains, what lies in a folder directly follows a file of the folder's name.
    let place = |path| (folded(path).replace('/', "\0"), path);
    let mut places: Vec<(String, &str)> = manifest.files.iter().map(|file| place(file.path.as_str())).collect();
    // The manifest lies beside the payload when an artifact is unpacked by hand.
    places.push(place(MANIFEST_NAME));
    places.sort_unstable();
    for pair in places.windows(2) {
        let [(place, path), (next_place, next)] = pair else { continue };
        let rest = next_place.strip_prefix(place.as_str());
        if path == next {
            return Err(ManifestFault::Duplicate((*path).to_owned()));
        } else if rest == Some("") {
            return Err(ManifestFault::Collision { first: (*path).to_owned(), second: (*next).to_owned() });
        } else if rest.is_some_and(|rest| rest.starts_with('\0')) {
            return Err(ManifestFault::FileAsFolder { file: (*path).to_owned(), below: (*next).to_owned() });
        }
    }
    Ok(())
}
