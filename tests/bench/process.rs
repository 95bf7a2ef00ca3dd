//! A measured server: started on a port of its own, its time to the first answer, and what its process tree uses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Longest time until a server's first answer.
const START_MAX: Duration = Duration::from_secs(30);
/// Clock ticks in a second, as in `/proc/PID/stat` (`USER_HZ`, fixed on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From `exec` to the first 200.
    pub(crate) cold_start: Duration,
}

impl Server {
    /// Starts `command` with `PORT` set and sends `body` until it is answered with 200.
    pub(crate) fn start(command: &mut Command, body: &[u8]) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Instant::now();
        let child = command
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} could not be started", command.get_program().to_string_lossy()))?;
        let mut server = Self { child, address, cold_start: Duration::ZERO };
        while first_answer(address, body).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended with {status}", command.get_program().to_string_lossy());
            }
            if started.elapsed() > START_MAX {
                bail!("{} gave no answer in {START_MAX:?}", command.get_program().to_string_lossy());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        server.cold_start = started.elapsed();
        Ok(server)
    }

    /// Processor time of the server and everything it started, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        tree(self.child.id()).iter().filter_map(|pid| ticks(*pid)).sum::<f64>() / TICKS_PER_SECOND
    }

    /// Memory of the server and everything it started, shared pages counted by their share (PSS), in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        tree(self.child.id()).iter().filter_map(|pid| pss(*pid)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_answer(address: SocketAddr, body: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_MAX))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    if &head == b"HTTP/1.1 200" { Ok(()) } else { bail!("not yet") }
}

/// `root` and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    let mut next = 0;
    while next < pids.len() {
        let pid = pids[next];
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    pids
}

fn ticks(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold spaces; fields are counted from the closing parenthesis: 14 and 15 of proc(5).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
}

fn pss(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
