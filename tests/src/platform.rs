//! A whole platform, `ignite serve`, and what its users do to it over the API and by hostname.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::{Answer, ask};
use crate::product::binary;

/// Longest wait for a step of a publish; the first compile of a language may fetch its tools.
pub const STEP_MAX: Duration = Duration::from_secs(120);

/// Longest wait for a line of the platform.
const LINE_MAX: Duration = Duration::from_secs(60);

/// Pause between two looks at what is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The organisation of a platform on one machine.
pub const ORGANIZATION: &str = "local";

/// A platform that serves. Dropping it is `kill -9`.
pub struct Platform {
    child: Child,
    /// The address of the API.
    pub api: String,
    /// The address of the gateway.
    pub gateway: String,
    /// The token of whoever started it.
    pub token: String,
}

/// How a platform is started.
pub struct Start {
    /// The folder of its data.
    pub data: PathBuf,
    /// The token of a platform that was there before; a new one prints its own.
    pub token: Option<String>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Where all that it says is kept, too.
    pub log: Option<PathBuf>,
}

impl Start {
    /// A new platform on any free ports, with its data in `data` and its configuration there too.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        let config = data.join("config").to_string_lossy().into_owned();
        Self {
            data: data.join("data"),
            token: None,
            arguments: Vec::new(),
            env: vec![("IGNITE_CONFIG_DIR".to_owned(), config)],
            log: None,
        }
    }

    /// Starts it and waits until it says where it serves.
    ///
    /// # Errors
    /// When it ends, or says nothing for long.
    pub fn start(&self) -> Result<Platform> {
        let mut command = Command::new(binary("ignite")?);
        command.args(["serve", "--api-port", "0", "--gateway-port", "0", "--data"]).arg(&self.data);
        command.args(&self.arguments).envs(self.env.iter().cloned());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().context("stderr is a pipe")?);
        let mut log = self.log.as_ref().map(std::fs::File::create).transpose()?;
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(log) = &mut log {
                    let _ = writeln!(log, "{line}");
                }
                let _ = sender.send(line);
            }
        });
        // Ended with it, should it not say what it must.
        let mut platform = Platform { child, api: String::new(), gateway: String::new(), token: String::new() };
        let mut said = Said { lines, others: Vec::new() };
        platform.api = said.line("API")?.trim_start_matches("http://").to_owned();
        let apps = said.line("apps")?;
        platform.gateway = format!("127.0.0.1:{}", apps.rsplit(':').next().unwrap_or_default());
        platform.token = match &self.token {
            Some(token) => token.clone(),
            None => said.line("token")?.split(' ').next().unwrap_or_default().to_owned(),
        };
        Ok(platform)
    }
}

/// What it says at its start.
struct Said {
    lines: Receiver<String>,
    others: Vec<String>,
}

impl Said {
    /// What follows a word at the beginning of a line.
    fn line(&mut self, word: &str) -> Result<String> {
        let deadline = Instant::now() + LINE_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                bail!("the platform does not say its `{word}` but:\n{}", self.others.join("\n"));
            };
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
            self.others.push(line);
        }
    }
}

impl Platform {
    /// A new platform; see [`Start::new`].
    ///
    /// # Errors
    /// As [`Start::start`].
    pub fn start(data: &Path) -> Result<Self> {
        Start::new(data).start()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls a method of `ComputeService`.
    ///
    /// # Errors
    /// With what it refuses.
    pub fn call(&self, method: &str, request: &Value) -> Result<Value> {
        self.call_as(&self.token, "ComputeService", method, request)
    }

    /// Calls a method of a service with a token.
    ///
    /// # Errors
    /// With what it refuses.
    pub fn call_as(&self, token: &str, service: &str, method: &str, request: &Value) -> Result<Value> {
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {token}\r\n");
        let path = format!("/ignite.v1.{service}/{method}");
        let answer = ask(&self.api, "POST", &path, &headers, request.to_string().as_bytes())?;
        if answer.status == 200 { Ok(answer.json()) } else { bail!("{method}: {} {}", answer.status, answer.text()) }
    }

    /// Saves what a folder holds as the draft of an app.
    ///
    /// # Errors
    /// With what is refused.
    pub fn save(&self, app: &str, folder: &Path) -> Result<()> {
        self.save_for(app, folder, &Value::Null)
    }

    /// As [`Platform::save`], for a runtime as the API names it; `null` finds it by the source.
    ///
    /// # Errors
    /// As there.
    pub fn save_for(&self, app: &str, folder: &Path, runtime: &Value) -> Result<()> {
        let packed = Command::new("tar").arg("-cz").arg("-C").arg(folder).arg(".").output()?.stdout;
        let packed = base64::engine::general_purpose::STANDARD.encode(packed);
        let code = json!({ "compile": { "sourceCode": packed, "runtime": runtime } });
        self.call("SaveDraft", &json!({ "appId": app, "code": code }))?;
        Ok(())
    }

    /// Publishes what a folder holds and waits for the end, which may be a failure.
    ///
    /// # Errors
    /// With what is refused, and when it does not end.
    pub fn publish(&self, app: &str, folder: &Path) -> Result<Value> {
        self.save(app, folder)?;
        self.call("PublishDraft", &json!({ "appId": app }))?;
        self.rollout(app)
    }

    /// Goes back to a version and waits for the end.
    ///
    /// # Errors
    /// With what is refused, and when it does not end.
    pub fn roll_back(&self, app: &str, version: u32) -> Result<Value> {
        self.call("RollbackApp", &json!({ "appId": app, "version": version }))?;
        self.rollout(app)
    }

    /// The rollout of an app once it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub fn rollout(&self, app: &str) -> Result<Value> {
        Ok(self.wait_state(app, |state| state["rollout"]["endedAtMs"].is_string())?["rollout"].clone())
    }

    /// The state of an app once it is as wanted.
    ///
    /// # Errors
    /// When it does not become so.
    pub fn wait_state(&self, app: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let state = self.call("GetAppState", &json!({ "appId": app }))?;
            if wanted(&state) {
                return Ok(state);
            }
            if Instant::now() >= deadline {
                bail!("{app} is still {state}");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The hostname of an app.
    #[must_use]
    pub fn host(&self, app: &str) -> String {
        format!("{app}-{ORGANIZATION}.ignite.localhost")
    }

    /// Calls an app by its hostname.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub fn ask(&self, app: &str, body: &[u8]) -> Result<Answer> {
        let headers = format!("host: {}\r\nauthorization: Bearer {}\r\n", self.host(app), self.token);
        ask(&self.gateway, "POST", "/", &headers, body)
    }

    /// Stops it as a person does, and waits for its end.
    ///
    /// # Errors
    /// When it does not end, or not with 0.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.ended()?;
        ensure!(status.success(), "the platform ended with {status}");
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + LINE_MAX;
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() >= deadline => bail!("the platform does not end"),
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
