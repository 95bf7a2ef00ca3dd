//! Watches a project's folders and tells, once a burst is over, that something changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// A burst of saves is over when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(60);
/// A burst that does not end is taken as over after so long.
const BURST_MAX: Duration = Duration::from_secs(1);
/// Folders that are watched at most; what lies deeper than that many is not seen.
const FOLDERS_MAX: usize = 4096;
/// Folders that hold no sources of the author: tools write there, also while Ignite compiles.
const NOT_SOURCES: [&str; 6] = [".git", ".ignite", ".venv", "__pycache__", "node_modules", "target"];

/// Something to wait for.
pub(crate) enum Wake {
    /// The project changed.
    Changed,
    /// The person has asked to stop.
    Stop,
}

/// Watches one project.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    wakes: Receiver<Signal>,
    root: PathBuf,
    folders: HashSet<PathBuf>,
}

pub(crate) enum Signal {
    Files(Event),
    Stop,
}

/// Ends a [`Watch::next`] from another thread.
#[derive(Clone)]
pub(crate) struct Stop(Sender<Signal>);

impl Stop {
    pub(crate) fn stop(&self) {
        // A watch that is gone has stopped already.
        let _ = self.0.send(Signal::Stop);
    }
}

impl Watch {
    /// Watches `root` and the folders below it.
    pub(crate) fn new(root: &Path) -> notify::Result<(Self, Stop)> {
        let (sender, wakes) = channel();
        let events = sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Errors of a single watch (a folder that vanished) show as a change of its parent.
            if let Ok(event) = event {
                let _ = events.send(Signal::Files(event));
            }
        })?;
        let mut watch = Self { watcher, wakes, root: root.to_owned(), folders: HashSet::new() };
        watch.watcher.watch(root, RecursiveMode::NonRecursive)?;
        watch.folders.insert(root.to_owned());
        watch.add_new_folders();
        Ok((watch, Stop(sender)))
    }

    /// Waits for a change and for the end of its burst.
    pub(crate) fn next(&mut self) -> Wake {
        loop {
            match self.wakes.recv() {
                Ok(Signal::Files(event)) => {
                    self.forget_moved(&event);
                    if self.matters(&event) {
                        break;
                    }
                }
                Ok(Signal::Stop) | Err(_) => return Wake::Stop,
            }
        }
        let burst_ends = Instant::now() + BURST_MAX;
        while Instant::now() < burst_ends {
            match self.wakes.recv_timeout(QUIET) {
                Ok(Signal::Files(event)) => self.forget_moved(&event),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Wake::Stop,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        self.add_new_folders();
        Wake::Changed
    }

    fn matters(&self, event: &Event) -> bool {
        // The system lost events: anything may have changed.
        event.need_rescan()
            || !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| is_source(&self.root, path))
    }

    /// A folder that is removed or renamed loses its watch; made anew under the same name, it needs a new one.
    fn forget_moved(&mut self, event: &Event) {
        if !matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            return;
        }
        let gone: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|folder| **folder != self.root && event.paths.iter().any(|path| folder.starts_with(path)))
            .cloned()
            .collect();
        for folder in gone {
            // The system has dropped the watch already where the folder itself is gone.
            let _ = self.watcher.unwatch(&folder);
            self.folders.remove(&folder);
        }
    }

    /// Each folder is watched by itself, so that those of tools cost nothing.
    fn add_new_folders(&mut self) {
        self.folders.retain(|folder| folder.is_dir());
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !is_source(&self.root, &path) {
                    continue;
                }
                if self.folders.len() < FOLDERS_MAX && !self.folders.contains(&path) {
                    // A folder that vanished meanwhile needs no watch.
                    if self.watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                        self.folders.insert(path.clone());
                    }
                }
                open.push(path);
            }
        }
    }
}

fn is_source(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    !below.components().any(|part| NOT_SOURCES.iter().any(|name| part.as_os_str() == *name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::fs;

    use super::*;

    /// Runs `change`, then stops the watch, and tells whether a change was seen before.
    fn wakes(change: impl FnOnce(&Path)) -> bool {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        let (mut watch, stop) = Watch::new(dir.path()).unwrap();
        change(dir.path());
        // The bound after which "nothing woke" is believed.
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            stop.stop();
        });
        let woke = matches!(watch.next(), Wake::Changed);
        stopper.join().unwrap();
        woke
    }

    #[test]
    fn sources_wake_and_outputs_do_not() {
        assert!(wakes(|dir| fs::write(dir.join("handler.py"), "x").unwrap()));
        assert!(wakes(|dir| fs::write(dir.join("src/lib.rs"), "x").unwrap()));
        assert!(!wakes(|dir| fs::write(dir.join("target/out"), "x").unwrap()));
        assert!(!wakes(|dir| drop(fs::read_dir(dir).unwrap())));
    }

    #[test]
    fn a_folder_made_anew_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let src = dir.path().join("src");
        fs::create_dir(&src).unwrap();
        let (mut watch, stop) = Watch::new(dir.path()).unwrap();
        fs::remove_dir(&src).unwrap();
        fs::create_dir(&src).unwrap();
        assert!(matches!(watch.next(), Wake::Changed));
        fs::write(src.join("file"), "x").unwrap();
        // The bound after which "nothing woke" is believed.
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            stop.stop();
        });
        assert!(matches!(watch.next(), Wake::Changed));
    }

    #[test]
    fn a_folder_made_later_is_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watch, _stop) = Watch::new(dir.path()).unwrap();
        fs::create_dir(dir.path().join("new")).unwrap();
        assert!(matches!(watch.next(), Wake::Changed));
        fs::write(dir.path().join("new/file"), "x").unwrap();
        assert!(matches!(watch.next(), Wake::Changed));
    }
}
