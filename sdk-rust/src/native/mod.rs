//! The function as a process: speaks frames with the host, many executions at once.

mod connection;
mod frames;
mod handler;
mod outbox;
mod panics;
mod pool;
mod socket;

pub use handler::Handler;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use ignite_core_abi::payload::{Failure, Hello, Ready};
use ignite_core_abi::{ABI_VERSION, FRAME_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES};

use connection::Connection;

/// Why a worker ends, and with which status.
#[derive(Debug)]
pub(crate) enum End {
    /// Drained, or the host went away.
    Done,
    /// There is no host to serve: it was started by hand.
    ByHand,
    /// The host speaks another version; it has been told.
    OtherVersion,
    /// The host did something the protocol does not know, or the machine refused something; in words.
    Fault(String),
}

impl End {
    fn status(&self) -> i32 {
        match self {
            Self::Done => 0,
            Self::OtherVersion => 1,
            Self::ByHand => 2,
            Self::Fault(_) => 70,
        }
    }
}

/// Serves until the host ends it. Never returns.
#[expect(clippy::exit, clippy::print_stderr, reason = "this is the program's `main`")]
pub fn run(handler: impl Handler) -> ! {
    let end = serve(Arc::new(handler));
    match &end {
        End::ByHand => eprintln!("{}", crate::BY_HAND),
        End::Fault(what) => eprintln!("ignite worker: {what}"),
        End::Done | End::OtherVersion => {}
    }
    std::process::exit(end.status())
}

fn serve(handler: Arc<impl Handler>) -> End {
    match socket::inherited().and_then(|socket| Ok((greet(&socket)?, socket))) {
        Ok((hello, socket)) => run_until_end(handler, socket, hello),
        Err(end) => end,
    }
}

/// Reads HELLO and answers it. Blocking: there is nothing else to do yet.
fn greet(mut socket: &UnixStream) -> Result<Hello, End> {
    let mut header = [0; HEADER_BYTES];
    // A host that is gone before it said anything is no fault.
    socket.read_exact(&mut header).map_err(|_| End::Done)?;
    let header = FrameHeader::decode(&header, FRAME_BYTES_MAX).map_err(fault)?;
    if header.kind != FrameKind::Hello {
        return Err(End::Fault(format!("the host began with {:?} instead of HELLO", header.kind)));
    }
    let mut payload = vec![0; header.length as usize];
    socket.read_exact(&mut payload).map_err(|_| End::Done)?;
    let hello = Hello::decode(&payload).map_err(fault)?;
    let mut answer = Vec::new();
    if hello.abi_version == ABI_VERSION {
        let max_concurrency = hello.max_concurrency.max(1);
        Ready { abi_version: ABI_VERSION, max_concurrency, zygote: false, sdk: crate::SDK }.encode(&mut answer);
    } else {
        let message = format!("this function speaks version {ABI_VERSION}, the host {}", hello.abi_version);
        Failure { kind: "abi_version", message: &message, trace: "" }.encode_init_error(&mut answer);
    }
    socket.write_all(&answer).map_err(|_| End::Done)?;
    if hello.abi_version == ABI_VERSION { Ok(hello) } else { Err(End::OtherVersion) }
}

fn run_until_end(handler: Arc<impl Handler>, socket: UnixStream, hello: Hello) -> End {
    panics::install();
    let threads = thread::available_parallelism().map_or(1, |count| count.get()).max(THREADS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().thread_name("ignite").build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return End::Fault(format!("could not start the runtime: {error}")),
    };
    let connected = socket.try_clone().and_then(|write| {
        let connection = Connection::new(&hello, write, runtime.handle().clone());
        let writer = connection.clone();
        thread::Builder::new().name("ignite-writer".to_owned()).spawn(move || writer.outbox.run_writer())?;
        Ok(connection)
    });
    let end = match connected {
        Ok(connection) => frames::read(&socket, &connection, &handler),
        Err(error) => End::Fault(format!("could not serve the worker socket: {error}")),
    };
    // The process ends with this. Dropping the runtime would wait for whatever blocks in it, and have what is dropped with
    // it answered.
    std::mem::forget(runtime);
    end
}

/// Threads of the runtime where there are fewer processors. `async` handlers should not block, and many do; each that does
/// after it has waited takes one of these away from the others.
const THREADS: usize = 4;

fn fault(error: impl std::fmt::Display) -> End {
    End::Fault(format!("malformed frame from the host: {error}"))
}
