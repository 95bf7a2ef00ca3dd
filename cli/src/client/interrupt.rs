//! Ctrl-C while something is followed: the person goes away, and what they followed goes on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{CliError, Exit};

/// How often it was pressed since somebody listened first.
static PRESSED: AtomicU32 = AtomicU32::new(0);

/// How many listen now.
static LISTENING: AtomicU32 = AtomicU32::new(0);

/// Whether signals are waited for, or why they cannot be.
static BEGUN: OnceLock<Result<(), String>> = OnceLock::new();

/// Knows whether the person pressed Ctrl-C since it was made. While nobody listens, and at the second time, Ctrl-C ends the
/// program as ever.
pub(crate) struct Interrupt {
    before: u32,
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, CliError> {
        // The first who listens begins it for as long as the process lives: a handler cannot be taken away again.
        if let Err(why) = BEGUN.get_or_init(begin) {
            return Err(CliError::new(Exit::Internal, "could not listen for signals").because(why.clone()));
        }
        LISTENING.fetch_add(1, Ordering::AcqRel);
        Ok(Self { before: PRESSED.load(Ordering::Acquire) })
    }

    pub(crate) fn pressed(&self) -> bool {
        PRESSED.load(Ordering::Acquire) > self.before
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        LISTENING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn begin() -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let (mut interrupts, mut terminations) = {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).map_err(|error: std::io::Error| error.to_string());
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => (),
                    _ = terminations.recv() => (),
                }
                let pressed = PRESSED.fetch_add(1, Ordering::AcqRel) + 1;
                if pressed > 1 || LISTENING.load(Ordering::Acquire) == 0 {
                    end();
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(|error| error.to_string())
}

#[expect(clippy::exit, reason = "the person wants the program to end, whatever it waits for")]
fn end() -> ! {
    std::process::exit(i32::from(Exit::Interrupted.code()))
}
