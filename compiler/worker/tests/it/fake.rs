//! A compiler that does what a test says, and a queue that answers when a test lets it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ignite_compiler_builder::{CompileError, CompileEvent, CompileRequest, Compiled, Stream, Workspace};
use ignite_compiler_worker::{Compiler, Lease, LeasedJob, Pending, Queue, SaidLine, Standing, Wake};
use ignite_core_artifact::{Compression, DeclaredLimits, MODE_FILE, ManifestHead, PayloadFile, write};
use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};
use tempfile::TempDir;

/// What the source says is what is done.
pub(crate) struct Fake {
    root: TempDir,
    pub(crate) running: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) swept: AtomicUsize,
    /// Whether compiles that wait may go on.
    pub(crate) open: AtomicBool,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            root: tempfile::tempdir().unwrap(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            swept: AtomicUsize::new(0),
            open: AtomicBool::new(false),
        })
    }

    /// Files and folders that workspaces have left.
    pub(crate) fn left(&self) -> usize {
        std::fs::read_dir(self.root.path()).unwrap().count()
    }

    fn wait(&self, request: &CompileRequest) -> Result<(), CompileError> {
        let began = std::time::Instant::now();
        while !self.open.load(Ordering::SeqCst) {
            // A test that failed must not hang.
            if request.cancel.is_cancelled() || began.elapsed() > crate::stage::WAIT_MAX {
                return Err(CompileError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn does(
        &self,
        request: &CompileRequest,
        events: &mut dyn FnMut(CompileEvent<'_>),
    ) -> Result<Compiled, CompileError> {
        let mut say = |line: &str| events(CompileEvent::Line { step: "fake", stream: Stream::Stdout, line });
        let source = std::fs::read_to_string(&request.source).unwrap();
        assert_eq!((request.tenant.as_str(), request.app.as_deref()), ("acme", Some("hello")));
        for word in source.split_whitespace() {
            match word.split_once(':').unwrap_or((word, "")) {
                ("wait", _) => self.wait(request)?,
                ("say", text) => say(text),
                ("count", to) => (0..to.parse().unwrap()).for_each(|number: u32| say(&number.to_string())),
                ("panic", _) => panic!("as the source says"),
                ("disk", _) => {
                    let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
                    return Err(CompileError::Cache { path: "/secret/path".into(), cause });
                }
                _ => {}
            }
        }
        artifact(&request.out, &source)
    }
}

impl Compiler for Fake {
    fn sweep(&self) {
        self.swept.fetch_add(1, Ordering::SeqCst);
    }

    fn workspace(&self) -> Result<Workspace, CompileError> {
        Workspace::below(self.root.path())
            .map_err(|cause| CompileError::Cache { path: self.root.path().to_owned(), cause })
    }

    fn compile(
        &self,
        request: &CompileRequest,
        events: &mut dyn FnMut(CompileEvent<'_>),
    ) -> Result<Compiled, CompileError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        // Also where it panics.
        struct Less<'a>(&'a AtomicUsize);
        impl Drop for Less<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _less = Less(&self.running);
        self.does(request, events)
    }
}

fn artifact(out: &Path, content: &str) -> Result<Compiled, CompileError> {
    let head = ManifestHead {
        runtime: Runtime::Python,
        target: Target::Native,
        kind: ArtifactKind::Packed,
        entrypoint: "handler.py".into(),
        abi: 1,
        name: None,
        toolchain: Default::default(),
        source: Digest::of(content.as_bytes()),
        limits: DeclaredLimits::default(),
        env: Vec::new(),
        dependencies: Vec::new(),
    };
    let mut file = std::fs::File::create(out).unwrap();
    let files = vec![PayloadFile::from_bytes("handler.py", MODE_FILE, content.as_bytes())];
    let written = write(head, files, Compression::Zstd, &mut file).unwrap();
    Ok(Compiled {
        artifact: out.to_owned(),
        digest: written.digest,
        bytes: written.bytes,
        manifest: written.manifest,
        elapsed: Duration::from_millis(1),
        cached: Vec::new(),
        origins: Vec::new(),
        log: out.to_owned(),
    })
}

/// A queue that stands still while a test wants it to.
pub(crate) struct Still {
    pub(crate) inner: Arc<dyn Queue>,
    /// Calls about jobs and logs are not answered.
    pub(crate) still: AtomicBool,
    /// Objects neither come nor go.
    pub(crate) hangs: AtomicBool,
    /// Artifacts cannot be stored.
    pub(crate) full: AtomicBool,
}

impl Still {
    pub(crate) fn new(inner: Arc<dyn Queue>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            still: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            full: AtomicBool::new(false),
        })
    }

    fn or_hangs<'a, T: 'a>(&'a self, call: Pending<'a, T>) -> Pending<'a, T> {
        if self.hangs.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { call }
    }

    fn or_never<'a, T: 'a>(&'a self, call: Pending<'a, T>) -> Pending<'a, T> {
        if self.still.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { call }
    }
}

impl Queue for Still {
    fn lease<'a>(&'a self, owner: &'a str, lease: Duration) -> Pending<'a, Option<LeasedJob>> {
        self.or_never(self.inner.lease(owner, lease))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, until: Duration) -> Pending<'a, Standing> {
        self.or_never(self.inner.renew(lease, until))
    }

    fn reclaim<'a>(&'a self, owner: &'a str) -> Pending<'a, u64> {
        self.or_never(self.inner.reclaim(owner))
    }

    fn look<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Standing> {
        self.or_never(self.inner.look(lease))
    }

    fn append<'a>(&'a self, lease: &'a Lease, first: u64, lines: &'a [SaidLine]) -> Pending<'a, Option<u64>> {
        self.or_never(self.inner.append(lease, first, lines))
    }

    fn finish<'a>(
        &'a self,
        lease: &'a Lease,
        result: &'a Result<ignite_core_model::Compiled, String>,
    ) -> Pending<'a, bool> {
        self.or_never(self.inner.finish(lease, result))
    }

    fn give_back<'a>(&'a self, lease: &'a Lease, pause: Duration) -> Pending<'a, bool> {
        self.or_never(self.inner.give_back(lease, pause))
    }

    fn fetch<'a>(&'a self, source: &'a Digest, bytes: u64, into: &'a Path) -> Pending<'a, ()> {
        self.or_hangs(self.inner.fetch(source, bytes, into))
    }

    fn store<'a>(&'a self, artifact: &'a Path, digest: &'a Digest, bytes: u64) -> Pending<'a, ()> {
        if self.full.load(Ordering::SeqCst) {
            let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Box::pin(std::future::ready(Err(ignite_compiler_worker::QueueError::Objects(cause.into()))));
        }
        self.or_hangs(self.inner.store(artifact, digest, bytes))
    }

    fn check(&self) -> Pending<'_, ()> {
        self.or_never(self.inner.check())
    }

    fn sweep(&self) -> Pending<'_, ()> {
        self.or_never(self.inner.sweep())
    }

    fn wake(&self) -> Wake {
        self.inner.wake()
    }
}
