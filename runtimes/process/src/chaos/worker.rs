//! A worker without a program: it speaks frames from this process, and a process that sleeps stands for its life.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ignite_core_abi::flags::END;
use ignite_core_abi::payload::Invoke;
use ignite_core_abi::{AHEAD_ID_BIT, FrameKind, HEADER_BYTES, split_frame};
use ignite_framing::Socket;
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::caller::answer;
use super::{Dice, Fate, World};
use crate::ahead::Tokens;
use crate::child::Child;
use crate::launch::{self, Streams};
use crate::life;
use crate::process::Process;
use crate::shared::Shared;
use crate::supervisor::Counter;

/// Longest pause of a worker, in microseconds.
const PAUSE_MICROS_MAX: u64 = 3_000;
/// Longest part of a streamed answer, in bytes.
const PART_BYTES_MAX: u64 = 3_000;

/// Keeps one worker alive, one after the other, until the world is over.
pub(super) async fn keep(
    shared: Arc<Shared>,
    world: Arc<World>,
    (capacity, ahead): (u32, u32),
    wildness: u64,
    mut dice: Dice,
) {
    while !world.over.load(Ordering::SeqCst) {
        live(&shared, &world, (capacity, ahead), wildness, dice.split()).await;
        dice.pause(PAUSE_MICROS_MAX).await;
    }
}

#[expect(clippy::zombie_processes, reason = "it is reaped by its id, as any worker is")]
async fn live(shared: &Arc<Shared>, world: &Arc<World>, (capacity, ahead): (u32, u32), wildness: u64, dice: Dice) {
    let tokens = (ahead > 0).then(|| Tokens::new(ahead).expect("a descriptor"));
    let token = tokens.as_ref().map(|tokens| tokens.as_fd().try_clone_to_owned().expect("a descriptor"));
    let Streams { connection, output, theirs: [socket, stdout, stderr] } = launch::streams().expect("sockets");
    let sleeper = Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn().expect("a process");
    let child = Child::started(sleeper.id()).expect("its handle");
    let logs = Arc::clone(&shared.config.logs);
    let process = Arc::new(Process::new(child, output, logs, 1024));
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true).expect("a socket");
    let fake = Fake {
        world: Arc::clone(world),
        process: Arc::clone(&process),
        capacity,
        token,
        wildness,
        dice,
        running: HashMap::new(),
        waiting: VecDeque::new(),
        seen: HashSet::new(),
        broken: false,
    };
    // What it has open ends with it.
    let serving = tokio::spawn(async move {
        fake.serve(UnixStream::from_std(socket).expect("a runtime")).await;
        drop((stdout, stderr));
    });
    let (reader, link) = life::split(shared, Socket::from_unix(connection).expect("a runtime"));
    let way = Counter::default().add();
    let life = life::serve_worker(shared, &process, reader, link, (capacity, tokens), way);
    life::watched(shared, &process, life).await;
    if let Err(error) = serving.await {
        std::panic::resume_unwind(error.into_panic());
    }
}

struct Fake {
    world: Arc<World>,
    process: Arc<Process>,
    capacity: u32,
    /// Where it takes executions ahead.
    token: Option<OwnedFd>,
    wildness: u64,
    dice: Dice,
    /// By frame id: the execution, and the bell of its cancellation.
    running: HashMap<u64, (u64, Arc<Notify>)>,
    /// What it was sent ahead, until the one before has ended.
    waiting: VecDeque<Waiting>,
    seen: HashSet<u64>,
    /// It has broken the protocol: what it says from now on reaches nobody.
    broken: bool,
}

/// An execution that is not begun.
struct Waiting {
    id: u64,
    number: u64,
    bell: Arc<Notify>,
}

/// What an execution's task tells its worker.
enum Word {
    /// Bytes to send; the execution ends with them where it has an end.
    Say { id: u64, bytes: Vec<u8>, end: Option<Fate> },
    /// Bytes that break the protocol.
    Break(Vec<u8>),
    /// The worker ends at once, after these bytes: its process too, or only its socket.
    End { bytes: Vec<u8>, process: bool },
}

impl Fake {
    async fn serve(mut self, socket: UnixStream) {
        let (mut reading, writing) = socket.into_split();
        let (words, mut heard) = mpsc::unbounded_channel();
        let (frames, queue) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let writer = tokio::spawn(write(writing, queue, self.dice.split()));
        let process = Arc::clone(&self.process);
        let mut buffer = Vec::new();
        // Ends its process where that has not happened, unless it stays without a socket.
        let mut stays = false;
        loop {
            tokio::select! {
                () = process.child.ended() => break,
                read = reading.read_buf(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        if !self.hear(&mut buffer, &words, &mut tasks) {
                            break;
                        }
                    }
                },
                Some(word) = heard.recv() => match word {
                    Word::Say { id, bytes, end } => {
                        if let Some(fate) = end.filter(|_| !self.broken)
                            && let Some((number, _)) = self.running.remove(&id)
                        {
                            self.world.ended(number, fate);
                        }
                        let _ = frames.send(bytes);
                        self.begin_next(&words, &mut tasks);
                    }
                    Word::Break(bytes) => {
                        self.broken = true;
                        self.world.trouble();
                        let _ = frames.send(bytes);
                    }
                    Word::End { bytes, process } => {
                        self.world.trouble();
                        let _ = frames.send(bytes);
                        stays = !process;
                        break;
                    }
                },
            }
        }
        // What was said before is written, as far as somebody reads it.
        drop(frames);
        let _ = tokio::time::timeout(Duration::from_secs(5), writer).await;
        drop(reading);
        if !stays {
            let _ = kill_process(process.child.pid(), Signal::KILL);
        }
        process.child.ended().await;
        self.world.lost(&self.process);
    }

    /// Takes whole frames; whether it goes on.
    fn hear(&mut self, buffer: &mut Vec<u8>, words: &mpsc::UnboundedSender<Word>, tasks: &mut JoinSet<()>) -> bool {
        loop {
            let taken = match split_frame(buffer, u32::MAX).expect("the host sends frames") {
                None => return true,
                Some((header, payload)) => {
                    match header.kind {
                        FrameKind::Invoke => {
                            let invoke = Invoke::decode(payload).expect("the host sends executions");
                            let first = invoke.body.first_chunk().expect("a number");
                            let number = u64::from_le_bytes(*first);
                            assert_eq!(invoke.body, super::caller::body(number), "the request of execution {number}");
                            assert!(self.seen.insert(header.id), "frame id {} came twice", header.id);
                            self.waiting.push_back(Waiting { id: header.id, number, bell: Arc::default() });
                            self.begin_next(words, tasks);
                        }
                        FrameKind::Cancel => {
                            // One that has ended meanwhile is nobody's.
                            let waits = self.waiting.iter().find(|waiting| waiting.id == header.id);
                            let bell = self.running.get(&header.id).map(|(_, bell)| bell);
                            if let Some(bell) = bell.or(waits.map(|waiting| &waiting.bell)) {
                                bell.notify_one();
                            }
                        }
                        FrameKind::Credit => {}
                        FrameKind::Drain => return false,
                        kind => panic!("{kind:?} from the host"),
                    }
                    HEADER_BYTES + payload.len()
                }
            };
            buffer.drain(..taken);
        }
    }

    /// Begins what came, in the order in which it came: all that it may run at once, and of what was sent ahead the next when
    /// nothing runs, with a token.
    fn begin_next(&mut self, words: &mpsc::UnboundedSender<Word>, tasks: &mut JoinSet<()>) {
        while let Some(Waiting { id, .. }) = self.waiting.front()
            && (self.token.is_none() || self.running.is_empty())
        {
            let is_ahead = id & AHEAD_ID_BIT != 0;
            let Some(Waiting { id, number, bell }) = self.waiting.pop_front() else { return };
            if is_ahead && !self.take_token() {
                let _ = words.send(Word::Say { id, bytes: failure(id, "cancelled", "cancelled"), end: None });
                continue;
            }
            self.world.given(number, &self.process);
            self.running.insert(id, (number, Arc::clone(&bell)));
            assert!(self.running.len() <= self.capacity as usize, "more than {} at once", self.capacity);
            let task = Task { id, number, bell, words: words.clone(), dice: self.dice.split() };
            tasks.spawn(task.run(self.wildness));
        }
    }

    fn take_token(&self) -> bool {
        let token = self.token.as_ref().expect("only who takes executions ahead is sent any");
        rustix::io::read(token, &mut [0; 8]).is_ok()
    }
}

/// Sends frames in pieces of any size, with pauses between them.
async fn write(mut socket: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Vec<u8>>, mut dice: Dice) {
    while let Some(mut bytes) = queue.recv().await {
        while dice.roll(2) == 0
            && let Ok(more) = queue.try_recv()
        {
            bytes.extend(more);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let piece = if dice.roll(3) == 0 { 1 + dice.roll(40) as usize } else { rest.len() };
            let (now, later) = rest.split_at(piece.min(rest.len()));
            if socket.write_all(now).await.is_err() {
                return;
            }
            rest = later;
            if !rest.is_empty() {
                dice.pause(200).await;
            }
        }
    }
}

/// One execution on the worker.
struct Task {
    id: u64,
    number: u64,
    bell: Arc<Notify>,
    words: mpsc::UnboundedSender<Word>,
    dice: Dice,
}

impl Task {
    fn say(&self, bytes: Vec<u8>, end: Option<Fate>) {
        // A worker that has ended hears nothing.
        let _ = self.words.send(Word::Say { id: self.id, bytes, end });
    }

    async fn run(mut self, wildness: u64) {
        self.dice.pause(PAUSE_MICROS_MAX).await;
        if self.dice.roll(100) < wildness {
            return self.misbehave().await;
        }
        match self.dice.roll(10) {
            0 => self.say(self.failure(&self.number.to_string(), "Chaos"), Some(Fate::Failed)),
            1 | 2 => self.stream(false).await,
            3 => {
                // It stops when it is told to, and not before.
                self.bell.notified().await;
                self.dice.pause(PAUSE_MICROS_MAX).await;
                self.say(self.failure("cancelled", "cancelled"), Some(Fate::Given));
            }
            4 => {
                self.say(self.frame(FrameKind::Log, 0, &[2, 4, 0, 0, 0, b'l', b'i', b'n', b'e']), None);
                self.dice.pause(PAUSE_MICROS_MAX).await;
                self.say(self.whole(), Some(Fate::Answered));
            }
            _ => self.say(self.whole(), Some(Fate::Answered)),
        }
    }

    async fn misbehave(&mut self) {
        let words = self.words.clone();
        let break_by = |bytes: Vec<u8>| drop(words.send(Word::Break(bytes)));
        let end = |bytes: Vec<u8>, process: bool| drop(words.send(Word::End { bytes, process }));
        match self.dice.roll(14) {
            // Twice, in one piece or later.
            0 => self.say([self.whole(), self.whole()].concat(), Some(Fate::Answered)),
            1 => {
                self.say(self.whole(), Some(Fate::Answered));
                self.dice.pause(PAUSE_MICROS_MAX).await;
                let late = [self.whole(), self.failure("late", "late"), self.frame(FrameKind::Chunk, END, b"late")];
                let which = self.dice.roll(3) as usize;
                self.say(late[which].clone(), None);
            }
            2 => self.stream(true).await,
            // Never, whatever it is told.
            3 | 4 => {}
            5 => self.say(self.frame(FrameKind::Result, END, &[99, 0, 0, 0, 0, 0]), Some(Fate::Odd)),
            // What breaks the protocol.
            6 => {
                let length = HEADER_BYTES + 1 + self.dice.roll(64) as usize;
                break_by(vec![0xff; length]);
            }
            7 => break_by(self.frame(FrameKind::Result, END, &[200])),
            // No fault where nobody waits any more, and so its last word in any case.
            8 => end(self.frame(FrameKind::Chunk, 0, b"first"), true),
            9 => {
                let never = self.id + (1 << 40);
                break_by(frame(FrameKind::Result, never, END, &self.payload(&answer(self.number))));
            }
            10 => break_by(self.frame(FrameKind::Drain, 0, b"")),
            // The end, between frames or within one.
            11 => end(Vec::new(), true),
            12 => {
                let whole = self.whole();
                let half = self.dice.roll(whole.len() as u64) as usize;
                end(whole[..half].to_vec(), true);
            }
            _ => end(Vec::new(), false),
        }
    }

    /// A streamed answer; one that is `broken` ends with an error. Less than the window, so that no credit is needed.
    async fn stream(&mut self, broken: bool) {
        let body = answer(self.number);
        let mut rest = &body[..];
        self.say(self.frame(FrameKind::Result, 0, &self.payload(b"")), None);
        while !rest.is_empty() {
            self.dice.pause(PAUSE_MICROS_MAX / 4).await;
            if broken && self.dice.roll(4) == 0 {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(1 + self.dice.roll(PART_BYTES_MAX) as usize));
            self.say(self.frame(FrameKind::Chunk, 0, now), None);
            rest = later;
        }
        if broken {
            self.say(self.failure(&self.number.to_string(), "Chaos"), Some(Fate::BrokenOff));
        } else {
            self.say(self.frame(FrameKind::Chunk, END, b""), Some(Fate::Answered));
        }
    }

    fn frame(&self, kind: FrameKind, flags: u8, payload: &[u8]) -> Vec<u8> {
        frame(kind, self.id, flags, payload)
    }

    fn whole(&self) -> Vec<u8> {
        self.frame(FrameKind::Result, END, &self.payload(&answer(self.number)))
    }

    /// Of a RESULT: status, one header, body.
    fn payload(&self, body: &[u8]) -> Vec<u8> {
        let (name, value) = ("x-number", self.number.to_string());
        let mut headers = (name.len() as u16).to_le_bytes().to_vec();
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(&(value.len() as u16).to_le_bytes());
        headers.extend_from_slice(value.as_bytes());
        let mut payload = 200_u16.to_le_bytes().to_vec();
        payload.extend_from_slice(&(headers.len() as u32).to_le_bytes());
        payload.extend_from_slice(&headers);
        payload.extend_from_slice(body);
        payload
    }

    fn failure(&self, message: &str, kind: &str) -> Vec<u8> {
        failure(self.id, message, kind)
    }
}

fn failure(id: u64, message: &str, kind: &str) -> Vec<u8> {
    let mut payload = (kind.len() as u16).to_le_bytes().to_vec();
    payload.extend_from_slice(kind.as_bytes());
    payload.extend_from_slice(&(message.len() as u32).to_le_bytes());
    payload.extend_from_slice(message.as_bytes());
    payload.extend_from_slice(&0_u32.to_le_bytes());
    frame(FrameKind::Error, id, 0, &payload)
}

fn frame(kind: FrameKind, id: u64, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&[kind as u8, flags, 0, 0]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}
