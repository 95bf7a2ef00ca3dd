//! Rust packages whose build script and macro do what they must not be able to do.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_compiler_builder::{
    Builder, BuilderConfig, CompileError, CompileEvent, CompileRequest, SandboxOptions, SourceLimits, StepLimits,
};
use ignite_core_model::Fault;

use crate::support::{cache, folder, slow, write};

/// Tries everything once and says, as warnings of Cargo, what it could do.
const PROBES: &str = r##"
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

fn could(what: &str, done: bool) {
    if done {
        println!("cargo::warning=could {what}");
    }
}

fn main() {
    for file in ["/etc/shadow", "/etc/gshadow", "@HOME@/.bashrc", "@HOME@/.ssh", "@HOME@/.netrc", "/proc/1/environ",
        "/var/run/docker.sock", "/run/systemd", "@TENANT@/secret", "@TENANT@", "@AUTHOR@/ignite.toml", "@CACHE@",
        "@CACHE@/compile/tools.json", "@CACHE@/compile/artifacts", "/home", "/sys", "/dev/vda", "/dev/mem"] {
        could(&format!("read {file}"), fs::read(file).is_ok() || fs::read_dir(file).is_ok());
    }
    for (name, value) in env::vars() {
        could(&format!("see {name}"), value.contains("top-secret") || name.contains("TOKEN") || name.contains("PROXY"));
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let seen = fs::read(entry.path().join("environ")).unwrap_or_default();
        could("see the environment of another", seen.windows(10).any(|part| part == b"top-secret"));
    }
    let soon = Duration::from_secs(3);
    for address in ["127.0.0.1:@PORT@", "169.254.169.254:80", "[::1]:@PORT@"] {
        let address: SocketAddr = address.parse().unwrap();
        could(&format!("connect to {address}"), TcpStream::connect_timeout(&address, soon).is_ok());
    }
    could("send a datagram", UdpSocket::bind("127.0.0.1:0").is_ok_and(|s| s.send_to(b"x", "127.0.0.1:53").is_ok()));
    could("connect to a Unix socket", UnixStream::connect("@SOCKET@").is_ok());
    let hidden = std::os::unix::net::SocketAddr::from_abstract_name("@ABSTRACT@").unwrap();
    could("connect to an abstract socket", UnixStream::connect_addr(&hidden).is_ok());
    let home = env::var("CARGO_HOME").unwrap();
    for file in [format!("{home}/config.toml"), format!("{home}/registry/poison"), "/ignite/work/fetched".into(),
        "/ignite/work/dependencies".into(), "/usr/lib/poison".into(), "/etc/ld.so.preload".into(),
        "@AUTHOR@/poison".into(), "@TENANT@/poison".into(), "/ignite/poison".into(), "/proc/sys/kernel/core_pattern".into(),
        format!("{}/poison", env::var("PATH").unwrap().split(':').next().unwrap())] {
        could(&format!("write {file}"), fs::write(&file, "poison").is_ok());
    }
    let own = format!("{}/own", env::var("OUT_DIR").unwrap());
    fs::copy("/bin/true", &own).unwrap();
    could("set the user of a file", fs::set_permissions(&own, fs::Permissions::from_mode(0o4755)).is_ok());
    for program in ["mount", "unshare", "chroot", "sudo", "su"] {
        let run = Command::new(program).args(["--user", "true"]).stdin(Stdio::null()).stdout(Stdio::null())
            .stderr(Stdio::null()).status();
        could(&format!("run {program}"), run.is_ok_and(|status| status.success()));
    }
    // What is left behind for the compiler to fall over, and for later.
    let _ = fs::remove_file("Cargo.lock");
    symlink("@TENANT@/secret", "Cargo.lock").unwrap();
    let _ = symlink("@TENANT@", "linked");
    let _ = Command::new("mkfifo").arg("pipe").status();
    Command::new("sh").args(["-c", "trap '' TERM INT HUP; setsid sleep @MARK@ & sleep @MARK@ &"])
        .stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap().wait().unwrap();
    println!("cargo::warning=\u{1b}[31mred\u{1b}]0;title\u{7} \u{202e}kcab");
    println!("cargo::warning=tried everything");
    println!("cargo::rerun-if-changed=build.rs");
}
"##;

/// A macro that looks around while it expands.
const MACRO: &str = r##"
extern crate proc_macro;
use proc_macro::TokenStream;

#[proc_macro]
pub fn look(_: TokenStream) -> TokenStream {
    let read = std::fs::read("/etc/shadow").is_ok() || std::fs::read("@TENANT@/secret").is_ok();
    let seen = std::env::vars().any(|(_, value)| value.contains("top-secret"));
    let reached = std::net::TcpStream::connect("127.0.0.1:@PORT@").is_ok();
    assert!(!(read || seen || reached), "could read {read}, see {seen}, reach {reached}");
    TokenStream::new()
}
"##;

const MANIFEST: &str = "[package]\nname = \"attacks\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
                        ignite = \"0.1\"\n";
const HANDLER: &str = "use ignite::{Context, Request};\n#[ignite::main]\nasync fn handler(_: Request, _: Context) -> \
                       ignite::Result<String> {\n    Ok(String::new())\n}\n";

/// A builder with secrets in its environment.
fn builder(limits: StepLimits) -> Builder {
    let env = Arc::new(|name: &str| match name {
        "AWS_SECRET_ACCESS_KEY" | "CARGO_REGISTRY_TOKEN" => Some("top-secret".into()),
        other => std::env::var_os(other),
    });
    let sandbox = SandboxOptions { limits, ..SandboxOptions::default() };
    Builder::new(BuilderConfig { cache_dir: cache(), env, limits: SourceLimits::default(), sandbox })
}

fn lines_of(builder: &Builder, request: &CompileRequest) -> (Result<(), CompileError>, Vec<String>) {
    let mut lines = Vec::new();
    let done = builder.compile(request, &mut |event| {
        if let CompileEvent::Line { line, .. } = event {
            lines.push(line.to_owned());
        }
    });
    (done.map(drop), lines)
}

#[test]
fn a_build_script_can_do_nothing_but_build() {
    if !slow() {
        return;
    }
    let tenant = folder(&[("secret", "of another tenant\n")]);
    let source = folder(&[("ignite.toml", ""), ("Cargo.toml", MANIFEST)]);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let socket = tenant.path().join("socket");
    let unix = UnixListener::bind(&socket).unwrap();
    let name = format!("ignite-attack-{}", std::process::id());
    let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mark = format!("8{:07}", std::process::id());
    let filled = |text: &str| {
        let path = |path: &Path| path.display().to_string();
        text.replace("@TENANT@", &path(tenant.path()))
            .replace("@AUTHOR@", &path(source.path()))
            .replace("@CACHE@", &path(&cache()))
            .replace("@HOME@", &std::env::var("HOME").unwrap_or_default())
            .replace("@PORT@", &port)
            .replace("@SOCKET@", &path(&socket))
            .replace("@ABSTRACT@", &name)
            .replace("@MARK@", &mark)
    };
    let manifest = format!("{MANIFEST}look = {{ path = \"look\" }}\n");
    let look = "[package]\nname = \"look\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n";
    write(
        source.path(),
        &[
            ("Cargo.toml", &manifest),
            ("build.rs", &filled(PROBES)),
            ("src/lib.rs", &format!("look::look!();\n{HANDLER}")),
            ("look/Cargo.toml", look),
            ("look/src/lib.rs", &filled(MACRO)),
        ],
    );
    let before = listing(source.path());
    let out = tempfile::tempdir().unwrap();
    let request = CompileRequest::new(source.path(), out.path().join("app.tar.zst"));
    let builder = builder(StepLimits::default());
    for round in 0..2 {
        // The second time, the first one's traps are laid.
        let (done, lines) = lines_of(&builder, &request);
        let lines_text = lines.join("\n");
        done.unwrap_or_else(|error| panic!("{}\n{lines_text}", error.report()));
        assert!(lines.iter().all(|line| !line.contains("could ")), "{lines_text}");
        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\u{202e}', '\u{7}'])), "{lines_text}");
        if round == 0 {
            assert!(lines.iter().any(|line| line.ends_with("tried everything")), "{lines_text}");
            assert!(lines.iter().any(|line| line.contains("red kcab")), "{lines_text}");
        }
        assert!(!running(&mark), "it left a process behind");
        write(source.path(), &[("src/other.rs", "")]);
        fs::remove_file(source.path().join("src/other.rs")).unwrap();
        write(source.path(), &[("src/note.txt", &round.to_string())]);
    }
    fs::remove_file(source.path().join("src/note.txt")).unwrap();
    assert_eq!(listing(source.path()), before, "the author's folder is as it was");
    assert_eq!(fs::read_to_string(tenant.path().join("secret")).unwrap(), "of another tenant\n");
    assert_eq!(listing(tenant.path()), ["secret 100644", "socket 140755"]);
    for (accepted, what) in [(accepts(&tcp), "tcp"), (accepts_unix(&unix), "unix"), (accepts_unix(&hidden), "abstract")]
    {
        assert!(!accepted, "{what} was reached");
    }
}

#[test]
fn a_build_script_that_forks_for_ever_is_stopped_and_named() {
    if !slow() {
        return;
    }
    let script = "fn main() { loop { let _ = std::process::Command::new(\"sleep\").arg(\"1000\").spawn(); } }";
    let source = folder(&[("Cargo.toml", MANIFEST), ("src/lib.rs", HANDLER), ("build.rs", script)]);
    let out = tempfile::tempdir().unwrap();
    let builder = builder(StepLimits { processes_max: 300, ..StepLimits::default() });
    let (done, _) = lines_of(&builder, &CompileRequest::new(source.path(), out.path().join("out")));
    let error = done.unwrap_err();
    assert!(matches!(error, CompileError::Exceeded { .. }), "{}", error.report());
    assert_eq!(error.fault(), Fault::Caller);
    let report = error.report();
    assert!(
        report.starts_with("error: `cargo build` was stopped: it runs 300 processes at once (processes_max)\nhint: "),
        "{report}"
    );
    assert!(!out.path().join("out").exists());
}

#[test]
fn a_build_script_that_ignores_signals_is_stopped_within_two_seconds() {
    if !slow() {
        return;
    }
    let mark = format!("9{:07}", std::process::id());
    let script = format!(
        "fn main() {{ std::process::Command::new(\"sh\").args([\"-c\", \"trap '' TERM INT HUP QUIT; setsid sleep {mark} & \
         echo cargo::warning=begun >&2; while :; do sleep {mark}; done\"]).status().unwrap(); }}"
    );
    let source = folder(&[("Cargo.toml", MANIFEST), ("src/lib.rs", HANDLER), ("build.rs", &script)]);
    let out = tempfile::tempdir().unwrap();
    let request = CompileRequest::new(source.path(), out.path().join("out"));
    let cancel = request.cancel.clone();
    let asked = std::thread::spawn({
        let mark = mark.clone();
        move || {
            let deadline = Instant::now() + Duration::from_secs(300);
            while !running(&mark) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            cancel.cancel();
            Instant::now()
        }
    });
    let (done, _) = lines_of(&builder(StepLimits::default()), &request);
    let ended = Instant::now();
    assert!(matches!(done, Err(CompileError::Cancelled)), "{done:?}");
    assert!(ended.duration_since(asked.join().unwrap()) < Duration::from_secs(2));
    assert!(!running(&mark), "nothing of it runs on");
}

fn accepts(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

fn accepts_unix(listener: &UnixListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

/// Names and modes of what is below a folder.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(&below).unwrap().flatten() {
            let metadata = entry.path().symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            let path = entry.path().strip_prefix(folder).unwrap().display().to_string();
            found.push(format!("{path} {:o}", metadata.permissions().mode()));
        }
    }
    found.sort();
    found
}

/// Whether a process of this machine has this word in its command line.
fn running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        line.split('\0').any(|argument| argument == mark)
    })
}
