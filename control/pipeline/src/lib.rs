//! The life of an app from draft to route: one pure state machine.
//!
//! [`App::step`] folds an [`Event`] (a caller's command, or what became of an effect) into the state and returns
//! [`Effect`]s. It knows no store, clock, network or id generator: time and new ids arrive in the event. The shell writes state
//! and effects in one transaction and answers its caller only after that; effects that reach outside are repeated until they
//! are done, so every event may arrive late, twice, out of order or never, and one that no longer fits is ignored.
//!
//! What always holds, and is tested by a simulation with faults (`tests/it/simulation`):
//! a version never changes; at most one version is active; the active version's instances were healthy when it went live;
//! a failed step changes nothing that is live; every job ends; every id is unique.
//!
//! Begin with [`App`] and [`Event`]; [`scale`] decides how many instances a load needs.

mod app;
mod effect;
mod event;
mod job;
pub mod scale;
mod step;

pub use app::{
    Active, App, CompileRun, Draft, DraftState, Landing, Life, RECORDS_MAX, Rollout, RolloutStage, Trial, VersionState,
};
pub use effect::Effect;
pub use event::{Bounds, CompileOutcome, Event, Refusal};
pub use job::{JobKind, JobRecord, JobState};
