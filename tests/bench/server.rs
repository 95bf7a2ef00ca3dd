//! A measured server: started on a port of its own, timed until its first right answer, ended with all it started.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::contenders::{Contender, Prepared, Standing};
use crate::generator::{Address, Dialect, Handler, Request, parse};
use crate::tree;

/// Longest time until a server's first answer.
const START_MAX: Duration = Duration::from_secs(30);
/// Longest time a server of ours may take to end after it was asked to, and a peer: that one's end is no figure of this bench.
const END_MAX: Duration = Duration::from_secs(5);
const PEER_END_MAX: Duration = Duration::from_millis(500);
/// Between two tries to get the first answer.
const TRY_PAUSE: Duration = Duration::from_micros(200);
/// How much of a server's output is shown when it fails, in bytes.
const SHOWN_BYTES: usize = 1500;

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it is asked.
    pub(crate) address: Address,
    /// When it was started, for lines with a time of day.
    pub(crate) started_at: SystemTime,
    /// From `exec` to the first right answer.
    pub(crate) first_answer: Duration,
    /// What it wrote.
    pub(crate) output: PathBuf,
    end_max: Duration,
    /// Its files, gone with it.
    work: tempfile::TempDir,
}

/// Where one start of a contender lives.
pub(crate) struct Place {
    /// A free port.
    pub(crate) port: u16,
    /// Another one, for what stands behind the first.
    pub(crate) inner_port: u16,
    /// An empty folder.
    pub(crate) work: PathBuf,
}

impl Place {
    /// A socket in the folder, for who does not speak TCP.
    pub(crate) fn socket(&self) -> PathBuf {
        self.work.join("server.sock")
    }
}

impl Server {
    /// Starts a contender and asks it until it answers rightly.
    ///
    /// # Errors
    /// When it ends or gives no right answer in time; with what it said.
    pub(crate) fn start(contender: &Contender, prepared: &Prepared) -> Result<Self> {
        Self::start_with(contender, prepared, &[])
    }

    /// As [`Server::start`], with further environment variables.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_with(contender: &Contender, prepared: &Prepared, env: &[(&str, &str)]) -> Result<Self> {
        let mut server = Self::spawn(contender, prepared, env)?;
        let mut request = Request::new(Handler::Hello, contender.dialect, contender.answers);
        let started = Instant::now() - server.started_at.elapsed().unwrap_or_default();
        loop {
            let error = match ask(&server.address, &mut request) {
                Ok(()) => break,
                Err(error) => error,
            };
            if let Some(status) = server.child.try_wait()? {
                bail!("it ended with {status}: {}", server.said());
            }
            if started.elapsed() > START_MAX {
                bail!("no right answer in {START_MAX:?}, but {error:#}: {}", server.said());
            }
            std::thread::sleep(TRY_PAUSE);
        }
        server.first_answer = started.elapsed();
        Ok(server)
    }

    /// Starts a contender and asks nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(contender: &Contender, prepared: &Prepared, env: &[(&str, &str)]) -> Result<Self> {
        let work = tempfile::tempdir()?;
        // Both at once, so that they differ.
        let (outer, inner) =
            (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        let (port, inner_port) = (outer.local_addr()?.port(), inner.local_addr()?.port());
        drop((outer, inner));
        let place = Place { port, inner_port, work: work.path().to_owned() };
        let mut command = (prepared.command)(&place);
        let output = work.path().join("output");
        let log = File::create(&output)?;
        command.env("PORT", port.to_string()).envs(env.iter().copied()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let address = match contender.dialect {
            Dialect::Http => Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            Dialect::Fn => Address::Unix(place.socket()),
        };
        let started_at = SystemTime::now();
        let child = command.spawn().with_context(|| format!("could not start {}", program(&command)))?;
        let end_max = if contender.place == Standing::Peer { PEER_END_MAX } else { END_MAX };
        Ok(Self { child, address, started_at, first_answer: Duration::ZERO, output, end_max, work })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its place.
    pub(crate) fn work(&self) -> &Path {
        self.work.path()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The end of what it wrote.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_BYTES)..]).trim().to_owned()
    }

    /// Asks it to end by SIGTERM and waits; how long it took, or `None` where it had to be killed.
    pub(crate) fn stop(&mut self) -> Option<Duration> {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return None;
        }
        let family = tree::tree(self.child.id());
        let asked = Instant::now();
        let own = Pid::from_child(&self.child);
        // A failure means that it has ended meanwhile.
        let _ = kill_process(own, Signal::TERM);
        let mut took = None;
        while asked.elapsed() < self.end_max {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                took = Some(asked.elapsed());
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        if took.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = kill_process_group(own, Signal::KILL);
        for pid in family.into_iter().skip(1).filter(|pid| started_with(*pid, &self.output)) {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        took
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether `pid` is still one that writes to `output`: ids are used again.
fn started_with(pid: u32, output: &Path) -> bool {
    (1..=2).any(|fd| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|to| to == output))
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// One request on a connection of its own.
///
/// # Errors
/// When there is no answer, or a wrong one.
pub(crate) fn ask(address: &Address, request: &mut Request) -> Result<()> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(START_MAX))?;
            exchange(stream, request)
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(START_MAX))?;
            exchange(stream, request)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &mut Request) -> Result<()> {
    let sent = Instant::now();
    stream.write_all(request.next())?;
    let (mut received, mut joined) = (Vec::new(), Vec::new());
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        received.extend_from_slice(&part[..count]);
        if let Some(answer) = parse(&received, &mut joined)? {
            return match request.fault(answer.status, answer.body, sent.elapsed()) {
                None => Ok(()),
                Some(fault) => bail!("{fault}"),
            };
        }
    }
}
