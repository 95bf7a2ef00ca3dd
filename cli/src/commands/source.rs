//! Where the code of a draft comes from, and its way to the platform.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use ignite_compiler_builder::{ArchiveLimits, pack_source};
use ignite_core_artifact::Compression;
use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};
use ignite_core_proto::check::to_runtime;
use ignite_core_proto::v1;
use sha2::{Digest as _, Sha256};
use v1::__buffa::oneof::{code_source, compile_source};

use crate::args::platform::{KindArg, RuntimeArg, RuntimeArgs, SourceArgs, TargetArg};
use crate::client::Client;
use crate::exit::{CliError, Exit};
use crate::ui::{Ui, size};

/// Longest archive that is sent within the request, in bytes; a longer one is uploaded first.
const INLINE_BYTES_MAX: u64 = 1 << 20;

/// Largest archive that is taken, in bytes.
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// How files are called that are archives already.
const ARCHIVE_SUFFIXES: [&str; 6] = [".tar.zst", ".tzst", ".tar.gz", ".tgz", ".tar", ".zip"];

/// Files with code that a handler is found in without a word of its author.
const ENTRYPOINTS: [&str; 5] = ["handler.py", "main.go", "main.ts", "main.js", "main.rs"];

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    path: PathBuf,
    form: Form,
    runtime: Option<Runtime>,
    target: Option<Target>,
    kind: Option<ArtifactKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Folder,
    Archive,
    File,
}

/// Reads the flags that say where code comes from; `default` is the folder when none does. They exclude each other, and those
/// that lead to an image are refused with a word that says so.
pub(crate) fn choose(args: &SourceArgs, default: Option<&Path>) -> Result<Code, CliError> {
    let refused = |cause: &str| CliError::new(Exit::InvalidArgument, "could not take the source").because(cause);
    if args.dockerfile_path.is_some() && args.code.is_none() && default.is_none() {
        return Err(CliError::new(Exit::InvalidArgument, "--dockerfile-path requires a context")
            .hint("name the folder or archive that has the Dockerfile in it with --code"));
    }
    let given: Vec<&str> = [
        ("--code", args.code.is_some()),
        ("--git-url", args.git_url.is_some()),
        ("--image-ref", args.image_ref.is_some()),
    ]
    .into_iter()
    .filter_map(|(flag, given)| given.then_some(flag))
    .collect();
    if given.len() > 1 {
        return Err(refused(&format!("{} exclude each other", given.join(" and "))));
    }
    for (flag, given, needs, there) in [
        ("--git-ref", args.git_ref.is_some(), "--git-url", args.git_url.is_some()),
        ("--git-sub-path", args.git_sub_path.is_some(), "--git-url", args.git_url.is_some()),
        ("--registry-secret-ref", args.registry_secret_ref.is_some(), "--image-ref", args.image_ref.is_some()),
        ("--build-arg", !args.build_arg.is_empty(), "--dockerfile-path", args.dockerfile_path.is_some()),
    ] {
        if given && !there {
            return Err(refused(&format!("{flag} belongs to {needs}")));
        }
    }
    if args.build_arg.iter().any(|pair| !pair.contains('=')) {
        return Err(refused("one --build-arg has no `=`").hint("write --build-arg NAME=VALUE"));
    }
    if args.git_url.is_some() || args.image_ref.is_some() {
        return Err(no_images(given.first().copied().unwrap_or_default()));
    }
    let Some(path) = args.code.as_deref().or(default) else {
        return Err(refused("none is named").hint("name a folder, an archive or a file with --code"));
    };
    let form = form(path)?;
    if args.dockerfile_path.is_some() {
        if form == Form::File {
            return Err(CliError::new(Exit::InvalidArgument, "--dockerfile-path requires a context")
                .because(format!("{} is a single file", path.display()))
                .hint("name the folder or archive that has the Dockerfile in it with --code"));
        }
        return Err(no_images("--dockerfile-path"));
    }
    if args.health_path.is_some() {
        return Err(refused("--health-path does nothing for compiled code: the host answers probes itself"));
    }
    let (runtime, target, kind) = words(&args.runtime)?;
    Ok(Code { path: path.to_owned(), form, runtime, target, kind })
}

fn no_images(flag: &str) -> CliError {
    CliError::new(Exit::Unavailable, "could not take the source")
        .because(format!("{flag} asks for an image, and this release compiles code only"))
        .hint("without it, --code takes a handler in Python, Go, TypeScript or Rust")
}

/// Why `ignite build` does nothing.
pub(super) fn no_builds() -> CliError {
    CliError::new(Exit::Unavailable, "could not build an image")
        .because("this release compiles code and builds no images")
        .hint("`ignite deploy` takes a handler in Python, Go, TypeScript or Rust to a hostname")
}

fn form(path: &Path) -> Result<Form, CliError> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        CliError::new(Exit::InvalidArgument, format!("could not read the source at {}", path.display()))
            .caused_by(&error)
    })?;
    if metadata.is_dir() {
        return Ok(Form::Folder);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(if ARCHIVE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) { Form::Archive } else { Form::File })
}

/// Language, target and form that flags ask for.
pub(crate) type Words = (Option<Runtime>, Option<Target>, Option<ArtifactKind>);

/// Reads what flags say about the language.
pub(crate) fn words(args: &RuntimeArgs) -> Result<Words, CliError> {
    let runtime = args.runtime.map(|runtime| match runtime {
        RuntimeArg::Python => Runtime::Python,
        RuntimeArg::Go => Runtime::Go,
        RuntimeArg::Deno => Runtime::Deno,
        RuntimeArg::Rust => Runtime::Rust,
        RuntimeArg::Component => Runtime::Component,
    });
    let target = args.rust_target.map(|target| match target {
        TargetArg::Native => Target::Native,
        TargetArg::Wasm => Target::Wasm,
    });
    let kind = args.kind.map(|kind| match kind {
        KindArg::Bundle => ArtifactKind::Bundle,
        KindArg::Binary => ArtifactKind::Binary,
    });
    let wrong = |flag: &str, language: &str| {
        CliError::new(Exit::InvalidArgument, "could not take the source")
            .because(format!("{flag} is for {language} only"))
    };
    // Either says the language too.
    let runtime = match (runtime, target, kind) {
        (None, Some(_), None) => Some(Runtime::Rust),
        (None, None, Some(_)) => Some(Runtime::Deno),
        (Some(Runtime::Rust), _, None) | (Some(Runtime::Deno), None, _) | (_, None, None) => runtime,
        (_, Some(_), _) if runtime != Some(Runtime::Rust) => return Err(wrong("--rust-target", "Rust")),
        _ => return Err(wrong("--kind", "Deno")),
    };
    Ok((runtime, target, kind))
}

/// An archive that lies ready.
pub(crate) struct Packed {
    file: File,
    bytes: u64,
    digest: Digest,
    runtime: Option<v1::Runtime>,
    /// What was packed, for people.
    pub(crate) about: String,
}

impl Packed {
    /// Whether it is too long to be sent within a request.
    pub(crate) fn needs_upload(&self) -> bool {
        self.bytes > INLINE_BYTES_MAX
    }

    /// Brings it to the platform, as the code of a request.
    pub(crate) fn send(mut self, client: &Client, app: &str, ui: &mut Ui) -> Result<v1::CodeSource, CliError> {
        let failed =
            |error: &std::io::Error| CliError::new(Exit::Internal, "could not read what was packed").caused_by(error);
        self.file.rewind().map_err(|error| failed(&error))?;
        let code = if self.needs_upload() {
            compile_source::Code::UploadKey(self.upload(client, app, ui)?)
        } else {
            let mut bytes = Vec::new();
            self.file.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
            compile_source::Code::SourceCode(bytes)
        };
        let compile = v1::CompileSource {
            runtime: self.runtime.map_or_else(Default::default, buffa::MessageField::some),
            code: Some(code),
            ..Default::default()
        };
        Ok(v1::CodeSource { source: Some(code_source::Source::Compile(Box::new(compile))), ..Default::default() })
    }

    fn upload(&self, client: &Client, app: &str, ui: &mut Ui) -> Result<String, CliError> {
        let what = || format!("could not upload the source of `{app}`");
        let request = v1::CreateUploadRequest {
            app_id: app.to_owned(),
            size_bytes: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            sha256: self.digest.to_string(),
            ..Default::default()
        };
        let upload = client.call(&request).map_err(|error| error.told(what()))?;
        if upload.url.is_empty() {
            ui.done("uploaded before: nothing is sent");
            return Ok(upload.upload_key);
        }
        ui.step(&format!("uploading {}", size(self.bytes)));
        let file = self.file.try_clone().map_err(|error| CliError::new(Exit::Internal, what()).caused_by(&error))?;
        let headers: Vec<(String, String)> = upload.headers.into_iter().collect();
        client.put(&upload.url, &headers, self.bytes, file).map_err(|error| error.told(what()))?;
        ui.done(&format!("uploaded {}", size(self.bytes)));
        Ok(upload.upload_key)
    }
}

/// Packs code into an archive in a temporary file.
pub(crate) fn pack(code: &Code, ui: &mut Ui) -> Result<Packed, CliError> {
    let internal = |error: &std::io::Error| CliError::new(Exit::Internal, "could not pack the source").caused_by(error);
    ui.step("packing");
    let runtime = code.runtime.map(|runtime| to_runtime(runtime, code.target, code.kind));
    let packed = match code.form {
        Form::Archive => {
            let mut file = File::open(&code.path).map_err(|error| unreadable(&code.path, &error))?;
            let (digest, bytes) = digest(&mut file).map_err(|error| unreadable(&code.path, &error))?;
            Packed { file, bytes, digest, runtime, about: format!("archive of {}", size(bytes)) }
        }
        Form::Folder => {
            let file = tempfile::tempfile().map_err(|error| internal(&error))?;
            folder(&code.path, file, runtime)?
        }
        Form::File => {
            let dir = tempfile::tempdir().map_err(|error| internal(&error))?;
            single(&code.path, dir.path())?;
            let file = tempfile::tempfile().map_err(|error| internal(&error))?;
            folder(dir.path(), file, runtime)?
        }
    };
    if packed.bytes > ARCHIVE_BYTES_MAX {
        return Err(CliError::new(Exit::InvalidArgument, format!("could not take {}", code.path.display()))
            .because(format!("the archive has {}, more than {}", size(packed.bytes), size(ARCHIVE_BYTES_MAX)))
            .hint("leave files out with .igniteignore"));
    }
    ui.done(&format!("packed {}", packed.about));
    Ok(packed)
}

fn folder(path: &Path, mut file: File, runtime: Option<v1::Runtime>) -> Result<Packed, CliError> {
    let packed = pack_source(path, Compression::Zstd, &ArchiveLimits::default(), &mut file).map_err(|error| {
        let told = CliError::new(Exit::InvalidArgument, format!("could not pack {}", path.display())).caused_by(&error);
        match error.next() {
            Some(next) => told.hint(next),
            None => told,
        }
    })?;
    if packed.files == 0 {
        return Err(CliError::new(Exit::InvalidArgument, format!("could not pack {}", path.display()))
            .because("there are no files in it, or all are left out")
            .hint("name the folder with the handler; `.gitignore` and `.igniteignore` leave files out"));
    }
    let about = format!("{} file(s), {} as {}", packed.files, size(packed.bytes), size(packed.archive_bytes));
    Ok(Packed { file, bytes: packed.archive_bytes, digest: packed.digest, runtime, about })
}

/// A project of one file.
fn single(file: &Path, dir: &Path) -> Result<(), CliError> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let copied = std::fs::metadata(file).and_then(|metadata| {
        if metadata.len() > ARCHIVE_BYTES_MAX {
            return Err(std::io::Error::other(format!("it has more than {}", size(ARCHIVE_BYTES_MAX))));
        }
        std::fs::copy(file, dir.join(&name))
    });
    copied.map_err(|error| unreadable(file, &error))?;
    // A component is found by what it is.
    let is_found = ENTRYPOINTS.contains(&name.as_str()) || name == "lib.rs" || name.ends_with(".wasm");
    if !is_found {
        let text = format!("entrypoint = {}\n", toml_edit::Value::from(name));
        std::fs::write(dir.join(ignite_core_model::MANIFEST_FILE), text).map_err(|error| unreadable(file, &error))?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::InvalidArgument, format!("could not read the source at {}", path.display())).caused_by(error)
}

/// The digest of what is left in a file, and its length.
fn digest(file: &mut File) -> std::io::Result<(Digest, u64)> {
    let mut sha256 = Sha256::new();
    let (mut chunk, mut bytes) = (vec![0; 128 * 1024], 0);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((Digest::from_bytes(sha256.finalize().into()), bytes)),
            read => {
                sha256.update(&chunk[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn told(args: SourceArgs) -> String {
        let error = choose(&args, None).unwrap_err();
        format!("{}: {} {}", error.exit.code(), error.what, error.causes.join(" "))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_source_is_one_thing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("handler.py");
        std::fs::write(&file, "x").unwrap();
        let code = || Some(dir.path().to_owned());
        let none = SourceArgs::default;
        let lines = [
            told(none()),
            told(SourceArgs { dockerfile_path: some("Dockerfile"), ..none() }),
            told(SourceArgs { code: code(), image_ref: some("x"), ..none() }),
            told(SourceArgs { git_url: some("https://x"), image_ref: some("x"), ..none() }),
            told(SourceArgs { code: code(), git_ref: some("main"), ..none() }),
            told(SourceArgs { code: code(), build_arg: vec!["A=1".to_owned()], ..none() }),
            told(SourceArgs { image_ref: some("x"), ..none() }),
            told(SourceArgs { code: code(), dockerfile_path: some("Dockerfile"), ..none() }),
            told(SourceArgs { code: code(), health_path: some("/h"), ..none() }),
            told(SourceArgs {
                code: code(),
                runtime: RuntimeArgs {
                    runtime: Some(RuntimeArg::Go),
                    rust_target: Some(TargetArg::Wasm),
                    ..RuntimeArgs::default()
                },
                ..none()
            }),
        ];
        expect_test::expect![[r#"
            2: could not take the source none is named
            2: --dockerfile-path requires a context 
            2: could not take the source --code and --image-ref exclude each other
            2: could not take the source --git-url and --image-ref exclude each other
            2: could not take the source --git-ref belongs to --git-url
            2: could not take the source --build-arg belongs to --dockerfile-path
            9: could not take the source --image-ref asks for an image, and this release compiles code only
            9: could not take the source --dockerfile-path asks for an image, and this release compiles code only
            2: could not take the source --health-path does nothing for compiled code: the host answers probes itself
            2: could not take the source --rust-target is for Rust only"#]]
        .assert_eq(&lines.join("\n"));
        let single = told(SourceArgs { code: Some(file), dockerfile_path: some("Dockerfile"), ..none() });
        assert!(single.starts_with("2: --dockerfile-path requires a context"), "{single}");
    }

    #[test]
    fn a_file_is_a_project_of_its_own() {
        let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = dir.path().join("my \"job\".py");
        std::fs::write(&file, "x").unwrap();
        single(&file, out.path()).unwrap();
        let manifest = std::fs::read_to_string(out.path().join("ignite.toml")).unwrap();
        assert_eq!(ignite_core_model::AppManifest::parse(&manifest).unwrap().entrypoint.unwrap(), "my \"job\".py");
        let code = choose(&SourceArgs { code: Some(file), ..SourceArgs::default() }, None).unwrap();
        let mut ui = Ui::of_writers(Box::new(std::io::sink()), Box::new(std::io::sink()));
        let packed = pack(&code, &mut ui).unwrap();
        assert!(packed.about.starts_with("2 file(s)"), "{}", packed.about);
        assert!(!packed.needs_upload());
    }

    #[test]
    fn a_flag_may_say_the_language() {
        let args = RuntimeArgs { rust_target: Some(TargetArg::Wasm), ..RuntimeArgs::default() };
        assert_eq!(words(&args).unwrap(), (Some(Runtime::Rust), Some(Target::Wasm), None));
        let args = RuntimeArgs { kind: Some(KindArg::Binary), ..RuntimeArgs::default() };
        assert_eq!(words(&args).unwrap(), (Some(Runtime::Deno), None, Some(ArtifactKind::Binary)));
    }
}
