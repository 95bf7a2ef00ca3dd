//! A stand-in for the API, and the program that asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use ignite_cli::Exit;
use ignite_cli::ui::Ui;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a call is answered with.
pub(crate) enum Answer {
    Json(Value),
    /// HTTP status, code, message.
    Refused(u16, &'static str, &'static str),
    /// Messages, and how the stream ends.
    Stream(Vec<Value>, End),
    /// Status and text of something that is no API.
    Other(u16, &'static str),
    /// The connection is closed without a word.
    Nothing,
}

/// How a stream ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Done,
    Broken,
    /// It stays open until the other side goes away.
    Open,
}

/// One call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The method of the API, or the path.
    pub(crate) method: String,
    pub(crate) body: Value,
    pub(crate) bytes: usize,
    pub(crate) authorization: Option<String>,
}

type Answers = dyn Fn(&Call, usize) -> Answer + Send + Sync;

/// An API on a port of its own. It ends with the process.
pub(crate) struct Api {
    pub(crate) address: String,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Configuration and cache of whoever asks.
    pub(crate) home: TempDir,
}

impl Api {
    /// `answers` is told a call and how many of the same method there were before.
    pub(crate) fn start(answers: impl Fn(&Call, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers): (_, Arc<Answers>) = (Arc::clone(&calls), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                std::thread::spawn(move || serve(stream, &seen, &*answers));
            }
        });
        Self { address, calls, home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The calls of one method.
    pub(crate) fn calls_of(&self, method: &str) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call.method == method).map(|call| call.body).collect()
    }

    /// Runs a command line with a token.
    pub(crate) fn ignite(&self, line: &[&str]) -> Said {
        run(self.home.path(), &[("IGNITE_API_ENDPOINT", &self.address), ("IGNITE_TOKEN", "hunter2")], line)
    }
}

fn serve(stream: TcpStream, calls: &Mutex<Vec<Call>>, answers: &Answers) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization, mut streams) = (0, None, false);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            "content-type" => streams = value.trim() == "application/connect+json",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let text = if streams { body.get(5..).unwrap_or_default() } else { &body };
    let call = Call {
        method: path.rsplit('/').next()?.to_owned(),
        body: serde_json::from_slice(text).unwrap_or_default(),
        bytes: body.len(),
        authorization,
    };
    let before = {
        let mut calls = calls.lock().ok()?;
        let before = calls.iter().filter(|other| other.method == call.method).count();
        calls.push(call.clone());
        before
    };
    write(stream, answers(&call, before))
}

fn write(mut stream: TcpStream, answer: Answer) -> Option<()> {
    let mut whole = |status: u16, kind: &str, text: &str| {
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).ok()
    };
    match answer {
        Answer::Json(value) => whole(200, "application/json", &value.to_string()),
        Answer::Refused(status, code, message) => {
            whole(status, "application/json", &json!({ "code": code, "message": message }).to_string())
        }
        Answer::Other(status, text) => whole(status, "text/html", text),
        Answer::Nothing => None,
        Answer::Stream(messages, end) => {
            let head = "HTTP/1.1 200 x\r\ncontent-type: application/connect+json\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).ok()?;
            for message in messages {
                envelope(&mut stream, 0, &message.to_string())?;
            }
            match end {
                End::Done => envelope(&mut stream, 2, "{}"),
                End::Broken => None,
                End::Open => {
                    // Whoever listens goes away some time.
                    let _ = stream.read(&mut [0]);
                    None
                }
            }
        }
    }
}

fn envelope(stream: &mut TcpStream, flags: u8, text: &str) -> Option<()> {
    let mut bytes = vec![flags];
    bytes.extend(u32::try_from(text.len()).ok()?.to_be_bytes());
    bytes.extend(text.as_bytes());
    stream.write_all(&bytes).ok()
}

/// What a command said, and how it ended.
pub(crate) struct Said {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// All of it, for a snapshot.
    pub(crate) fn all(&self) -> String {
        format!("{}--- exit {}\n{}", self.out, self.exit.code(), self.err)
    }
}

#[derive(Clone, Default)]
struct Words(Arc<Mutex<Vec<u8>>>);

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs one command line with an environment of its own.
pub(crate) fn run(home: &Path, env: &[(&str, &str)], line: &[&str]) -> Said {
    let mut vars: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    vars.push(("IGNITE_CONFIG_DIR".to_owned(), home.join("config").display().to_string()));
    vars.push(("IGNITE_CACHE_DIR".to_owned(), home.join("cache").display().to_string()));
    let env = Arc::new(move |name: &str| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.into()));
    let (out, err) = (Words::default(), Words::default());
    let mut ui = Ui::of_writers(Box::new(out.clone()), Box::new(err.clone()));
    let line = std::iter::once("ignite").chain(line.iter().copied()).map(Into::into).collect();
    let exit = ignite_cli::run(line, env, &mut ui);
    let text = |words: &Words| String::from_utf8(words.0.lock().unwrap().clone()).unwrap();
    Said { exit, out: text(&out), err: text(&err) }
}
