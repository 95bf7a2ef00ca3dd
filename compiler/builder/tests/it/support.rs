//! What every test here needs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignite_compiler_builder::{
    Builder, BuilderConfig, CompileError, CompileRequest, Compiled, SandboxOptions, SourceLimits,
};

/// Tests with tools run when `IGNITE_SLOW=1` is set, as CI does.
pub(crate) fn slow() -> bool {
    let slow = std::env::var_os("IGNITE_SLOW").is_some_and(|value| value == "1");
    if !slow {
        eprintln!("skipped: set IGNITE_SLOW=1 to run tests with compilers");
    }
    slow
}

/// The cache of all tests: kept between runs, so that dependencies are compiled once.
pub(crate) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

pub(crate) fn builder(cache: PathBuf) -> Builder {
    builder_with(cache, &[])
}

/// A builder in this process's environment with some variables set otherwise.
pub(crate) fn builder_with(cache_dir: PathBuf, variables: &[(&str, &str)]) -> Builder {
    let variables: Vec<(String, OsString)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let env = Arc::new(move |name: &str| {
        let set = variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        set.or_else(|| std::env::var_os(name))
    });
    Builder::new(BuilderConfig { cache_dir, env, limits: SourceLimits::default(), sandbox: SandboxOptions::default() })
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    dir
}

pub(crate) fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Compiles, with the lines of the tools dropped.
pub(crate) fn compile(builder: &Builder, request: &CompileRequest) -> Result<Compiled, CompileError> {
    builder.compile(request, &mut |_| {})
}

/// Compiles and panics with the report when it fails.
pub(crate) fn compiled(builder: &Builder, request: &CompileRequest) -> Compiled {
    compile(builder, request).unwrap_or_else(|error| panic!("{}", error.report()))
}
