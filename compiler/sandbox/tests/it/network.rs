//! What a step can reach.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use ignite_compiler_sandbox::{Mount, Phase};

use crate::support::{python, said, step};

/// Tries to open every kind of connection and says what could be opened.
const PROBE: &str = r#"
import socket, sys, os
port, path, abstract = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def attempt(name, family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(5)
            if kind == socket.SOCK_DGRAM:
                s.sendto(b"x", address)
            else:
                s.connect(address)
        print("reached", name)
    except OSError as error:
        pass
attempt("loopback", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
attempt("loopback 6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", port))
attempt("metadata", socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80))
attempt("metadata by datagram", socket.AF_INET, socket.SOCK_DGRAM, ("169.254.169.254", 80))
attempt("names", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.53", 53))
attempt("unix", socket.AF_UNIX, socket.SOCK_STREAM, path)
attempt("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
for name in ("AF_PACKET", "AF_VSOCK", "AF_NETLINK", "AF_ALG", "AF_BLUETOOTH"):
    try:
        socket.socket(getattr(socket, name), socket.SOCK_RAW if name in ("AF_PACKET", "AF_NETLINK") else socket.SOCK_STREAM)
        print("opened", name)
    except (OSError, AttributeError):
        pass
try:
    socket.getaddrinfo("example.com", 80)
    print("resolved")
except OSError:
    pass
a, b = socket.socketpair()
a.send(b"x"); b.recv(1)
print("looked")
"#;

struct Around {
    port: u16,
    folder: tempfile::TempDir,
    abstract_name: String,
    _listeners: (TcpListener, UnixListener, UnixListener),
}

/// Listeners of this machine that a step may try to reach.
fn around() -> Around {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let abstract_name = format!("ignite-test-{}-{}", std::process::id(), tcp.local_addr().unwrap().port());
    let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    Around { port: tcp.local_addr().unwrap().port(), folder, abstract_name, _listeners: (tcp, unix, hidden) }
}

#[test]
fn what_builds_reaches_nothing() {
    let around = around();
    let mut step = python(PROBE, Vec::new());
    let socket = around.folder.path().join("socket");
    step.args.extend([around.port.to_string().into(), socket.into(), around.abstract_name.clone().into()]);
    assert_eq!(said(&step), ["looked"]);
    // Not even the interfaces are this machine's.
    let step = step_of("cat /proc/net/dev /proc/net/route /proc/net/unix /proc/net/tcp", Phase::Build);
    let interfaces = said(&step);
    assert_eq!(interfaces.iter().filter(|line| line.contains(':')).count(), 1, "only a loopback: {interfaces:?}");
}

#[test]
fn what_fetches_reaches_the_network_and_no_socket_of_this_machine() {
    let around = around();
    // Even where the folder of the socket is seen.
    let mounts = vec![Mount::read_only(around.folder.path())];
    let socket = around.folder.path().join("socket").display().to_string();
    let probe = PROBE.lines().filter(|line| !line.contains("metadata") && !line.contains("names")).collect::<Vec<_>>();
    let probe = probe.join("\n").replace("socket.getaddrinfo(\"example.com\", 80)", "raise OSError");
    let args = ["-c", &probe, &around.port.to_string(), &socket, &around.abstract_name];
    let seen = said(&step("/usr/bin/python3", &args, Phase::Fetch, mounts));
    assert_eq!(seen, ["reached loopback", "opened AF_NETLINK", "looked"]);
}

fn step_of(script: &str, phase: Phase) -> ignite_compiler_sandbox::Step {
    step("/bin/sh", &["-c", script], phase, Vec::new())
}
