//! Following a publish or rollback to its end, with the lines of the compile it waits for.

use ignite_core_proto::v1;

use crate::client::words::{has_ended, plain, version};
use crate::client::{ApiError, Client, FollowError, Followed, Heard, Interrupt, follow};
use crate::exit::{CliError, Exit};
use crate::ui::Ui;

/// What a publish or rollback came to.
pub(super) enum Outcome {
    /// It is live.
    Live(Box<v1::Rollout>),
    /// The person did not wait for the end.
    Detached,
}

/// A publish or rollback that is looked at.
pub(super) struct Watched<'a> {
    pub(super) client: &'a Client,
    /// The app, as the API takes it.
    pub(super) app: &'a str,
    /// What is being done, as in "publish `acme/hello`".
    pub(super) what: &'a str,
}

impl Watched<'_> {
    /// Follows a rollout until it ends. One that failed is an error that tells why.
    pub(super) fn follow(&self, rollout: v1::Rollout, ui: &mut Ui) -> Result<Outcome, CliError> {
        let interrupt = Interrupt::listen()?;
        let mut shown = Shown::default();
        let request = v1::WatchRolloutRequest {
            app_id: self.app.to_owned(),
            rollout_id: rollout.id.clone(),
            ..Default::default()
        };
        let mut last = rollout;
        self.show(&last, &mut shown, &interrupt, ui)?;
        if !has_ended(last.status) && !interrupt.pressed() {
            let followed = follow(self.client, request, &interrupt, &mut |heard| {
                if let Heard::Message(message) = heard
                    && let Some(rollout) = message.rollout.as_option()
                {
                    last = rollout.clone();
                    self.show(&last, &mut shown, &interrupt, ui)?;
                }
                Ok(())
            });
            followed.map_err(|error| error.told(format!("could not follow the {}", last.kind)))?;
        }
        ui.stop_spinner();
        if !has_ended(last.status) {
            self.detached(ui);
            return Ok(Outcome::Detached);
        }
        if last.status == v1::CompileStatus::COMPILE_STATUS_SUCCEEDED {
            ui.done(&format!("{} is live", version(last.version)));
            return Ok(Outcome::Live(Box::new(last)));
        }
        let failed_compile = last.failure.step == "compile";
        if failed_compile && !shown.lines {
            let _ = compile_lines(self.client, self.app, "", &interrupt, ui);
        }
        Err(self.failed(&last))
    }

    /// Says how to come back to what goes on by itself.
    pub(super) fn detached(&self, ui: &mut Ui) {
        ui.stop_spinner();
        ui.say(&format!("it goes on without you; `ignite app state {} --follow` comes back to it", self.app));
    }

    fn show(
        &self,
        rollout: &v1::Rollout,
        shown: &mut Shown,
        interrupt: &Interrupt,
        ui: &mut Ui,
    ) -> Result<(), CliError> {
        match rollout.step.as_str() {
            "compile" if shown.step != "compile" => {
                ui.step("compiling");
                ui.done("compiling");
                shown.step = "compile".to_owned();
                if !rollout.compile_id.is_empty() {
                    shown.lines = true;
                    if let Err(error) = compile_lines(self.client, self.app, &rollout.compile_id, interrupt, ui) {
                        // The rollout tells how it ends, whatever becomes of the lines.
                        let why = error.told("the compiler's lines cannot be shown").causes.join(": ");
                        ui.say(&format!("the compiler's lines cannot be shown: {why}"));
                    }
                }
            }
            "start" if shown.step != "start" => {
                let step = format!("starting {}", version(rollout.version));
                ui.step(&step);
                ui.done(&step);
                shown.step = "start".to_owned();
            }
            _ => {}
        }
        Ok(())
    }

    fn failed(&self, rollout: &v1::Rollout) -> CliError {
        let failure = &rollout.failure;
        let error =
            CliError::new(Exit::Failed, format!("could not {}", self.what)).because(match failure.reason.trim() {
                "" => format!("it ended at the step `{}`", failure.step),
                reason => format!("{}: {}", failure.step, reason.lines().map(plain).collect::<Vec<_>>().join("\n")),
            });
        let app = self.app;
        match failure.step.as_str() {
            "compile" => error.hint(format!("`ignite draft compile-logs {app}` shows the compiler's words again")),
            "start" => {
                error.hint(format!("`ignite app logs {app}` shows what it printed; what was live before still is"))
            }
            _ => error.hint(format!("`ignite app events {app}` shows what happened")),
        }
    }
}

/// What was shown of a rollout.
#[derive(Default)]
struct Shown {
    step: String,
    lines: bool,
}

/// How a compile ended, if the person waited for it.
pub(super) struct CompileEnd {
    pub(super) status: v1::CompileStatus,
    pub(super) failure: Option<v1::Failure>,
}

/// Shows the lines of a compile until it ends; an empty id is the draft's last.
pub(super) fn compile_lines(
    client: &Client,
    app: &str,
    compile: &str,
    interrupt: &Interrupt,
    ui: &mut Ui,
) -> Result<Option<CompileEnd>, FollowError> {
    let request =
        v1::StreamCompileLogsRequest { app_id: app.to_owned(), compile_id: compile.to_owned(), ..Default::default() };
    let mut end = None;
    let followed = follow(client, request, interrupt, &mut |heard| {
        if let Heard::Message(message) = heard {
            for line in message.lines.iter().flat_map(|line| line.text.lines()) {
                ui.say(&format!("  | {}", plain(line)));
            }
            if has_ended(message.status) {
                let status = message.status.as_known().unwrap_or_default();
                end = Some(CompileEnd { status, failure: message.failure.as_option().cloned() });
            }
        }
        Ok(())
    })?;
    match (followed, &end) {
        (Followed::Ended, None) => Err(FollowError::Api(ApiError::Broken(std::io::ErrorKind::UnexpectedEof.into()))),
        _ => Ok(end),
    }
}
