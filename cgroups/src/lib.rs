//! Control groups, where this user may make them: the kernel then holds memory, processor share and number of processes of
//! one process and of all that it starts, together.
//!
//! [`Places`] are looked for once: for each [`Controller`] the folder, of cgroup v1 or v2, in which groups can be made, or why
//! there is none. [`Places::make`] makes a [`Group`], which a process [joins](Group::join), which is given bounds, and which
//! is [removed](Group::remove) once its processes have ended. A group outlives a maker that is killed; the next one
//! [sweeps](Places::sweep).
//!
//! This crate knows files of the kernel. It does not know what runs in a group, which bounds it should have, nor when it
//! ends: nothing is removed on drop, and nothing is logged. Begin with `places.rs`; how a folder is found stands in `find.rs`.

mod controller;
mod end;
mod find;
mod group;
mod hand_down;
mod hold;
mod maker;
mod mounts;
mod place;
mod places;
mod tell;

pub use controller::Controller;
pub use end::Tries;
pub use find::Told;
pub use group::Group;
pub use hold::MemoryLimit;
pub use place::{Lack, Lacking};
pub use places::{Left, Places, Purpose};
