//! Machine code made ahead of time, kept in a folder of the user's own.
//!
//! Compiling a component takes from tenths of a second to many seconds; mapping its machine code into memory takes less
//! than a millisecond. A file's name says what it was made of (digest of the component) and for whom (a hash of the
//! engine's version, its settings and the processor); its last bytes say whether it is whole.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ignite_core_model::Digest;
use twox_hash::XxHash3_128;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::config::WasmError;
use crate::engine::compiling_engine;
use crate::load;

/// Files kept in one folder, unless many apps share it; the oldest are removed when there are more.
const FILES_MAX: usize = 256;

/// How a file's name ends.
const EXTENSION: &str = "cwasm";

/// Ends every file, after the checksum of all before. The number is the form's version.
const SEAL: [u8; 8] = *b"ignaot\0\x02";

/// XXH3, 128 bits, big-endian. It tells damage, not intent: whoever could write another file here could write its digest
/// too. Each start computes it, and a cryptographic one would be half of what a start of a small app takes.
const CHECKSUM_BYTES: usize = 16;

/// Bytes after the machine code.
const TRAILER_BYTES: usize = CHECKSUM_BYTES + SEAL.len();

/// Bytes read at once to tell whether a file is whole.
const READ_BYTES: usize = 64 * 1024;

/// Compiles the component `wasm` for this machine and keeps the machine code in `aot_cache`, which is made when it is
/// absent. Tells where it lies. Does nothing when it is there already.
///
/// The component is checked as a host would check it, so what is wrong with it is known before it is deployed.
///
/// # Errors
/// When the component is not valid, exports no handler or imports what hosts do not offer; when the folder cannot be
/// written, or others may write to it.
pub fn precompile(wasm: &[u8], aot_cache: &Path) -> Result<PathBuf, WasmError> {
    keep_compiled(&compiling_engine()?, wasm, &Cache::open(aot_cache)?)
}

/// Compiles `wasm` into `cache`, unless its machine code is there and whole.
pub(crate) fn keep_compiled(engine: &Engine, wasm: &[u8], cache: &Cache) -> Result<PathBuf, WasmError> {
    let digest = Digest::of(wasm);
    if let Found::Code(_) = cache.find(engine, &digest) {
        return Ok(cache.path(engine, &digest));
    }
    let component = load::compile(engine, wasm)?;
    load::link(&component, &load::linker(engine)?)?;
    cache.keep(&component, &digest)
}

/// A folder of machine code.
pub(crate) struct Cache {
    dir: PathBuf,
    files_max: usize,
    /// Files this process has found whole before.
    whole: Option<Arc<Whole>>,
}

/// Files that were found whole, as they were then. Reading all of one takes longer than mapping it: where apps come and go
/// it is done once, as long as nothing tells that the file has changed.
#[derive(Debug, Default)]
pub(crate) struct Whole(Mutex<HashMap<PathBuf, Stamp>>);

/// What changes when a file does: its inode, its length, when it was written, and when anything of it was changed.
type Stamp = (u64, u64, i64, i64, i64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    let m = metadata;
    (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
}

impl Whole {
    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, path: &Path, stamp: Stamp) -> bool {
        self.files().get(path) == Some(&stamp)
    }

    fn learn(&self, path: &Path, stamp: Stamp, files_max: usize) {
        let mut files = self.files();
        if files.len() >= files_max {
            files.clear();
        }
        files.insert(path.to_owned(), stamp);
    }
}

/// What a look into the folder found.
pub(crate) enum Found {
    /// Machine code that fits.
    Code(Component),
    /// None.
    Nothing,
    /// A file of that name that cannot be used, and why.
    Unusable(String),
}

impl Cache {
    /// Opens the folder `dir`, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, WasmError> {
        let failed = |cause| WasmError::Cache { path: dir.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let metadata = fs::metadata(dir).map_err(failed)?;
        if !metadata.is_dir() || !is_private(&metadata) {
            return Err(WasmError::CacheNotPrivate { path: dir.to_owned() });
        }
        Ok(Self { dir: dir.to_owned(), files_max: FILES_MAX, whole: None })
    }

    /// The same folder, in which more files may lie.
    pub(crate) fn with_files_max(self, files_max: usize) -> Self {
        Self { files_max: self.files_max.max(files_max), ..self }
    }

    /// The same folder, with what is known of its files.
    pub(crate) fn with_known(self, whole: Option<Arc<Whole>>) -> Self {
        Self { whole, ..self }
    }

    /// Where machine code of the component `digest` for `engine` lies.
    pub(crate) fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        SEAL.hash(&mut hasher);
        self.dir.join(format!("{}-{:016x}.{EXTENSION}", digest.to_hex(), hasher.finish()))
    }

    /// Loads machine code of the component `digest`, if it lies here whole.
    pub(crate) fn find(&self, engine: &Engine, digest: &Digest) -> Found {
        let path = self.path(engine, digest);
        let stamp = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Unusable(error.to_string()),
            Ok(metadata) if !metadata.is_file() || !is_private(&metadata) => {
                return Found::Unusable("it is not a file that this user alone may write to".into());
            }
            Ok(metadata) => stamp(&metadata),
        };
        let known = self.whole.as_ref().is_some_and(|whole| whole.knows(&path, stamp));
        match if known { Ok(true) } else { is_whole(&path) } {
            Err(error) => Found::Unusable(error.to_string()),
            Ok(false) => Found::Unusable("its content is damaged".into()),
            Ok(true) => {
                if let (Some(whole), false) = (&self.whole, known) {
                    whole.learn(&path, stamp, self.files_max);
                }
                #[expect(unsafe_code, reason = "machine code can be loaded in no other way")]
                // SAFETY: the engine asks that the file be what it wrote itself and that nobody change it while it is
                // mapped. The folder and the file belong to this user or root, and no one else may write to them
                // (checked in `open` and above). Only `keep` writes files of such names there, as a whole, from the engine's own
                // output, and never changes one in place; the checksum at its end (checked in `is_whole`) holds, so no
                // part was lost or damaged since; where it was checked before, the file has not changed by its times. Whoever can act as this user has no need of this door.
                let component = unsafe { Component::deserialize_file(engine, &path) };
                component.map_or_else(|error| Found::Unusable(format!("{error:#}")), Found::Code)
            }
        }
    }

    /// Keeps the machine code of `component`. It appears under its name only when it is whole.
    pub(crate) fn keep(&self, component: &Component, digest: &Digest) -> Result<PathBuf, WasmError> {
        let path = self.path(component.engine(), digest);
        let code = component.serialize().map_err(|error| WasmError::Invalid { reason: format!("{error:#}") })?;
        self.write(&path, &code).map_err(|cause| WasmError::Cache { path: path.clone(), cause })?;
        self.remove_oldest(&path);
        Ok(path)
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        // Made with mode 0600, and removed again unless it gets its name.
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(code)?;
        file.write_all(&XxHash3_128::oneshot(code).to_be_bytes())?;
        file.write_all(&SEAL)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the oldest files beyond the bound, never `keep`. Hosts that have one mapped do not notice.
    fn remove_oldest(&self, keep: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter(|entry| Path::new(&entry.file_name()).extension() == Some(&OsString::from(EXTENSION)))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .filter(|(_, path)| path != keep)
            .collect();
        files.sort();
        for (_, path) in files.iter().take((files.len() + 1).saturating_sub(self.files_max)) {
            // Another process may have removed it; either way it is gone.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether it belongs to this user or to root, who made the machine's image, and no one else may write to it.
fn is_private(metadata: &Metadata) -> bool {
    let owner = metadata.uid();
    (owner == rustix::process::geteuid().as_raw() || owner == 0) && metadata.mode() & 0o022 == 0
}

/// Whether the file's content has its checksum at its end.
fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(code_bytes) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    let mut code = (&mut file).take(code_bytes);
    let mut checksum = XxHash3_128::new();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        match code.read(&mut chunk)? {
            0 => break,
            read => checksum.write(&chunk[..read]),
        }
    }
    let mut trailer = [0; TRAILER_BYTES];
    match file.read_exact(&mut trailer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let (kept, seal) = trailer.split_at(CHECKSUM_BYTES);
    Ok(seal == SEAL && kept == checksum.finish_128().to_be_bytes())
}
