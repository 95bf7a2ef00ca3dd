//! Apps as a compiler makes them, and where a backend has them from.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;

use ignite_control_deploy::local::{Artifacts, LoadSecret, Secrets};
use ignite_core_artifact::{Compression, DeclaredLimits, MODE_FILE, ManifestHead, PayloadFile};
use ignite_core_model::{ArtifactKind, Credential, Digest, OrganizationId, Runtime, SecretName, Target};

/// Does what its path says.
pub(crate) const APP: &str = r#"
import json
import os
import time

print("loaded")


def handler(payload, ctx):
    number = int(payload or b"0")
    match ctx.path:
        case "/env":
            return dict(os.environ)
        case "/trace":
            return ctx.headers.get("traceparent")
        case "/pid":
            return str(os.getpid())
        case "/lines":
            for at in range(number):
                print(f"line {at}")
        case "/hold":
            print("begun", flush=True)
            time.sleep(number / 1000)
        case "/look":
            try:
                with open(f"/proc/{number}/environ", "rb") as environ:
                    return environ.read()
            except OSError as error:
                return type(error).__name__
        case "/eat":
            held = b"x" * (number << 20)
            return str(len(held) >> 20)
    return f"hello from {ctx['function_id']}"
"#;

/// Cannot be loaded.
pub(crate) const BROKEN: &str = "raise ValueError('no colour was given')\n";

/// Is never loaded.
pub(crate) const STUCK: &str = "import time\ntime.sleep(3600)\n";

/// Secrets by name, whoever asks.
#[derive(Default)]
pub(crate) struct Vault(pub(crate) Mutex<HashMap<String, Credential>>);

impl Secrets for Vault {
    fn load<'a>(&'a self, _: &'a OrganizationId, name: &'a SecretName) -> LoadSecret<'a> {
        let found = self.0.lock().unwrap().get(name.as_str()).cloned();
        Box::pin(std::future::ready(found.ok_or_else(|| format!("there is no secret `{name}`"))))
    }
}

/// A folder of artifacts.
pub(crate) struct Shelf {
    folder: PathBuf,
    known: Mutex<HashMap<Digest, PathBuf>>,
}

impl Shelf {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self { folder: folder.to_owned(), known: Mutex::default() }
    }

    /// Packs `handler.py` and puts it here.
    pub(crate) fn put(&self, handler: &str) -> Digest {
        let head = ManifestHead {
            runtime: Runtime::Python,
            target: Target::Native,
            kind: ArtifactKind::Packed,
            entrypoint: "handler.py".to_owned(),
            abi: 1,
            name: None,
            toolchain: BTreeMap::new(),
            source: Digest::of(handler.as_bytes()),
            limits: DeclaredLimits::default(),
            env: Vec::new(),
            dependencies: Vec::new(),
        };
        let files = vec![PayloadFile::from_bytes("handler.py", MODE_FILE, handler.as_bytes())];
        let mut bytes = Vec::new();
        let written = ignite_core_artifact::write(head, files, Compression::Zstd, &mut bytes).unwrap();
        let path = self.folder.join(format!("{}.tar.zst", written.digest.to_hex()));
        std::fs::write(&path, bytes).unwrap();
        self.known.lock().unwrap().insert(written.digest, path);
        written.digest
    }
}

impl Artifacts for Shelf {
    fn fetch(&self, artifact: Digest) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send + '_>> {
        let found = self.known.lock().unwrap().get(&artifact).cloned();
        Box::pin(std::future::ready(found.ok_or_else(|| format!("there is no artifact {artifact}"))))
    }
}
