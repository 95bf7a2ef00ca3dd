//! What compiles, as the worker sees it.

use ignite_compiler_builder::{Builder, CompileError, CompileEvent, CompileRequest, Compiled, Workspace};

/// A compiler that can be shared between threads: the builder, or a fake.
pub trait Compiler: Send + Sync + 'static {
    /// Removes what killed compiles have left.
    fn sweep(&self);

    /// A private folder for a source and an artifact.
    ///
    /// # Errors
    /// When it cannot be made.
    fn workspace(&self) -> Result<Workspace, CompileError>;

    /// Compiles. This blocks, and calls `events` from this thread. Soon after the request is cancelled it returns, and
    /// nothing of it runs any more.
    ///
    /// # Errors
    /// [`CompileError`].
    fn compile(
        &self,
        request: &CompileRequest,
        events: &mut dyn FnMut(CompileEvent<'_>),
    ) -> Result<Compiled, CompileError>;
}

impl Compiler for Builder {
    fn sweep(&self) {
        Builder::sweep(self);
    }

    fn workspace(&self) -> Result<Workspace, CompileError> {
        Builder::workspace(self)
    }

    fn compile(
        &self,
        request: &CompileRequest,
        events: &mut dyn FnMut(CompileEvent<'_>),
    ) -> Result<Compiled, CompileError> {
        Builder::compile(self, request, events)
    }
}
