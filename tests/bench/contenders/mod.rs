//! Who is measured. Each contender says how it is had, how it is started and what it is compared with.

mod go;
mod javascript;
mod ours;
mod python;
mod wasm;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use ignite_tests::product::binary;

use crate::generator::{Answers, Dialect};
use crate::kit::Kit;
use crate::server::Place;

pub(crate) use ours::{Target, deadlines, host_command, pydantic};

/// One that is measured.
pub(crate) struct Contender {
    /// As in `--only`, and in tables.
    pub(crate) name: &'static str,
    /// One sentence on how it runs.
    pub(crate) how: &'static str,
    /// What it is to the others.
    pub(crate) place: Standing,
    pub(crate) dialect: Dialect,
    pub(crate) answers: Answers,
    /// Installs or builds it. What fails here makes it "missing", with the reason.
    pub(crate) prepare: fn(&Kit) -> Result<Prepared>,
}

/// What a contender is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The bare echo that all are measured against.
    Limit,
    /// This product; the name of its direct peer.
    Ours(&'static str),
    /// Somebody else's.
    Peer,
    /// One that is never there, for the bench's own test; measured only where it is named.
    Absent,
}

/// A contender that can be started.
pub(crate) struct Prepared {
    /// Versions of what runs.
    pub(crate) version: String,
    /// How it is started in a place; `PORT` is set besides.
    pub(crate) command: Box<dyn Fn(&Place) -> Command>,
    /// Files and folders it reads at its start, for starts with a cold page cache.
    pub(crate) files: Vec<PathBuf>,
    /// What a host of ours serves.
    pub(crate) artifact: Option<PathBuf>,
}

/// All contenders, in the order they are measured and shown.
pub(crate) fn all() -> Vec<Contender> {
    let mut all = vec![Contender {
        name: "echo",
        how: "bare axum, answers with the payload: the limit",
        place: Standing::Limit,
        dialect: Dialect::Http,
        answers: Answers::Payload,
        prepare: |_| {
            let program = binary("ignite-bench-echo")?;
            let files = vec![program.clone()];
            let command = Box::new(move |_: &Place| Command::new(&program));
            Ok(Prepared { version: "axum 0.8".into(), command, files, artifact: None })
        },
    }];
    all.extend(ours::contenders());
    all.extend(python::contenders());
    all.extend(javascript::contenders());
    all.extend(go::contenders());
    all.extend(wasm::contenders());
    all.push(Contender {
        name: "absent",
        how: "never there; for the test of this bench",
        place: Standing::Absent,
        dialect: Dialect::Http,
        answers: Answers::Greeting,
        prepare: |_| bail!("it is never there"),
    });
    all
}

/// A peer that speaks HTTP.
fn peer(name: &'static str, how: &'static str, prepare: fn(&Kit) -> Result<Prepared>) -> Contender {
    Contender { name, how, place: Standing::Peer, dialect: Dialect::Http, answers: Answers::Greeting, prepare }
}
