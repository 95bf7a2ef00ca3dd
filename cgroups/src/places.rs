//! Where groups are made, and what killed makers left there.

use std::fs;

use crate::controller::Controller;
use crate::end::{self, Tries};
use crate::find::{self, Told};
use crate::group::Group;
use crate::maker;
use crate::place::{Lacking, Place};

/// What groups are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// A word in their names, of letters only: groups left behind are known by it.
    pub word: &'static str,
    /// What becomes of processes in them when their maker has ended.
    pub left: Left,
}

/// What a sweep does with processes in a group whose maker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// They are killed.
    Killed,
    /// They end by themselves; the group is removed by a sweep after that.
    Ending,
}

/// Folders for groups, of one purpose. Looked for once and kept: what a machine has does not change while it runs.
#[derive(Debug)]
pub struct Places {
    found: Vec<Place>,
    lacking: Vec<Lacking>,
    purpose: Purpose,
}

impl Places {
    /// Looks for a place for each of these controllers, and sweeps there.
    ///
    /// In a group of v2 that was delegated to this process, and that nobody else is in, this process may be moved into a group
    /// below, so that groups beside it can have controllers.
    #[must_use]
    pub fn find(asked: &[Controller], purpose: Purpose) -> Self {
        Self::find_told(&Told::now(), asked, purpose)
    }

    /// The same, where something else is told of mounts and groups.
    #[must_use]
    pub fn find_told(told: &Told, asked: &[Controller], purpose: Purpose) -> Self {
        let (found, lacking) = find::find(told, asked);
        let places = Self { found, lacking, purpose };
        places.sweep();
        places
    }

    /// What was asked for and is not to be had, in the order in which it was asked for.
    #[must_use]
    pub fn lacking(&self) -> &[Lacking] {
        &self.lacking
    }

    /// Makes a group that has what is to be had. A controller whose group could not be made is not in it, see
    /// [`Group::has`].
    #[must_use]
    pub fn make(&self) -> Group {
        if self.found.is_empty() {
            return Group::default();
        }
        let name = maker::new_name(self.purpose.word);
        let made = self.found.iter().filter_map(|place| {
            let folder = place.folder.join(&name);
            fs::create_dir(&folder).ok()?;
            Some(Place { folder, ..place.clone() })
        });
        Group { made: made.collect() }
    }

    /// Removes groups whose makers have ended, of any purpose: those in which no process is, and of this purpose also those in
    /// which there are some, if they are to be [killed](Left::Killed).
    pub fn sweep(&self) {
        for place in &self.found {
            for entry in fs::read_dir(&place.folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(word) = name.to_str().and_then(maker::word_of_gone) else { continue };
                let folder = entry.path();
                if word == self.purpose.word && self.purpose.left == Left::Killed {
                    end::kill_and_remove(&mut vec![folder], Tries::BRIEF);
                } else {
                    end::remove(&mut vec![folder], Tries::ONE);
                }
            }
        }
    }
}
