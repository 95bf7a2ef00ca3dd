//! Which files of a folder are its source.

use std::io::{self, Read};

use ignite_core_artifact::check_path;
use ignite_core_model::{Fault, MANIFEST_FILE};

use crate::error::ReadError;
use crate::ignores::{DockerIgnore, Rules};
use crate::limits::LINK_HOPS_MAX;
use crate::link::{LinkFault, target_path};
use crate::name::{is_left_out, shown};
use crate::names::{Names, check_depth};
use crate::{ArchiveLimits, Folder, ItemKind};

/// Largest ignore file that is read, in bytes.
const IGNORE_BYTES_MAX: u64 = 1024 * 1024;

/// What an author's manifest says about files, beside the ignore files.
pub struct Choice<'a> {
    /// Whether the file at a path is asked for by name, although git or `.dockerignore` leaves it out.
    pub includes: &'a dyn Fn(&str) -> bool,
    /// Whether the file at a path is left out by name.
    pub excludes: &'a dyn Fn(&str) -> bool,
    /// Whether `includes` can ever say yes. Ignored folders need not be looked into else.
    pub any_includes: bool,
}

impl Choice<'_> {
    /// No wishes beside the ignore files.
    #[must_use]
    pub fn none() -> Self {
        Self { includes: &|_| false, excludes: &|_| false, any_includes: false }
    }
}

/// A file that belongs to the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Its path in the source.
    pub path: String,
    /// Where its content is: the same path, or what a link leads to.
    pub from: String,
    /// In bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Why the files of a folder cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The folder, or something in it, could not be looked at.
    #[error("could not read `{path}`")]
    Read {
        /// What, relative to the root; empty for the root itself.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An ignore file that cannot be used.
    #[error("`{path}` cannot be used: {what}")]
    Ignore {
        /// Which.
        path: String,
        /// Why.
        what: String,
    },
    /// Something in the folder that no source may hold; the same that a reader refuses.
    #[error(transparent)]
    Refused(#[from] ReadError),
}

impl SelectError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(error) => error.fault(),
            Self::Read { .. } | Self::Ignore { .. } => Fault::Caller,
        }
    }
}

/// Finds the files of a source, sorted by path: everything in the folder but what is [left out](crate::is_left_out), what
/// `.gitignore` and `.igniteignore` in it and `.dockerignore` in its root leave out, and what `choice` does. Devices, pipes
/// and sockets are passed over. What comes out can be written as an archive that [`read`](crate::read()) takes.
///
/// # Errors
/// [`SelectError`].
pub fn select(folder: &dyn Folder, choice: &Choice<'_>, limits: &ArchiveLimits) -> Result<Vec<Selected>, SelectError> {
    let docker = match text(folder, ".dockerignore")? {
        Some(text) => {
            DockerIgnore::parse(&text).map_err(|what| SelectError::Ignore { path: ".dockerignore".to_owned(), what })?
        }
        None => DockerIgnore::default(),
    };
    let mut walk = Walk {
        folder,
        choice,
        limits,
        docker,
        names: Names::new(limits),
        found: Vec::new(),
        seen: 0,
        todo: Vec::new(),
    };
    walk.todo.push(Todo { folder: String::new(), rules: Rules::default(), ignored: false });
    while let Some(todo) = walk.todo.pop() {
        walk.through(&todo)?;
    }
    let mut found = walk.found;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A folder that is still to be looked into.
struct Todo {
    folder: String,
    rules: Rules,
    /// Whether git leaves it out; files in it are then taken only by name.
    ignored: bool,
}

struct Walk<'a> {
    folder: &'a dyn Folder,
    choice: &'a Choice<'a>,
    limits: &'a ArchiveLimits,
    docker: DockerIgnore,
    names: Names<'a>,
    found: Vec<Selected>,
    /// Whatever was looked at.
    seen: usize,
    todo: Vec<Todo>,
}

impl Walk<'_> {
    fn through(&mut self, todo: &Todo) -> Result<(), SelectError> {
        let mut items = self.folder.list(&todo.folder).map_err(failed(&todo.folder))?;
        // The first of several faults is the same on every machine.
        items.sort_by(|a, b| a.name.cmp(&b.name));
        let has = |name: &str| items.iter().any(|item| item.name == name.as_bytes());
        let rules_in = |name: &str| if has(name) { text(self.folder, &join(&todo.folder, name)) } else { Ok(None) };
        let (git, ignite) = (rules_in(".gitignore")?, rules_in(".igniteignore")?);
        let rules = todo.rules.below(&todo.folder, git.as_deref(), ignite.as_deref());
        for item in items {
            self.seen += 1;
            if self.seen > self.limits.entries_max {
                return Err(ReadError::Entries { max: self.limits.entries_max }.into());
            }
            let Ok(name) = std::str::from_utf8(&item.name) else {
                let path = shown(&[todo.folder.as_bytes(), b"/", &item.name].concat());
                let fault = ignite_core_artifact::PathFault::NotUtf8;
                return Err(ReadError::Path { path, fault }.into());
            };
            let path = join(&todo.folder, name);
            let is_folder = item.kind == ItemKind::Folder;
            if is_left_out(name) || item.kind == ItemKind::Other || rules.ignite_ignores(&path, is_folder) {
                continue;
            }
            let ignored = todo.ignored || rules.git_ignores(&path, is_folder) && !rules.ignite_keeps(&path, is_folder);
            if is_folder {
                if !ignored || self.choice.any_includes {
                    check_depth(&path, self.limits)?;
                    self.todo.push(Todo { folder: path, rules: rules.clone(), ignored });
                }
            } else if self.takes(&path, ignored) {
                self.take(path, item.kind)?;
            }
        }
        Ok(())
    }

    fn takes(&self, path: &str, ignored: bool) -> bool {
        let left = ignored || self.docker.ignores(path) || (self.choice.excludes)(path);
        path == MANIFEST_FILE || !left || (self.choice.includes)(path)
    }

    fn take(&mut self, path: String, kind: ItemKind) -> Result<(), SelectError> {
        check_path(&path).map_err(|fault| ReadError::Path { path: shown(path.as_bytes()), fault })?;
        check_depth(&path, self.limits)?;
        let (from, size, executable) = match kind {
            ItemKind::File { size, executable } => (path.clone(), size, executable),
            ItemKind::Link { target } => self.behind(&path, &target)?,
            ItemKind::Folder | ItemKind::Other => return Ok(()),
        };
        let file = self.names.add_file(path, size, executable)?;
        self.found.push(Selected { path: file.path, from, size, executable });
        Ok(())
    }

    /// The file that a link leads to.
    fn behind(&self, path: &str, target: &[u8]) -> Result<(String, u64, bool), SelectError> {
        let refused = |fault| ReadError::link(path.to_owned(), shown(target), fault);
        let (mut at, mut text) = (path.to_owned(), target.to_vec());
        for _ in 0..LINK_HOPS_MAX {
            let next = std::str::from_utf8(&text).map_err(|_| refused(LinkFault::Nowhere))?;
            at = target_path(&at, next).map_err(refused)?;
            if at.is_empty() {
                return Err(refused(LinkFault::Folder).into());
            }
            match self.folder.find(&at).map_err(failed(path))? {
                Some(ItemKind::File { size, executable }) => return Ok((at, size, executable)),
                Some(ItemKind::Link { target }) => text = target,
                Some(ItemKind::Folder) => return Err(refused(LinkFault::Folder).into()),
                Some(ItemKind::Other) | None => return Err(refused(LinkFault::Nowhere).into()),
            }
        }
        Err(refused(LinkFault::Loop).into())
    }
}

/// The text of a file, if it is there. What is not UTF-8 in it is no pattern.
fn text(folder: &dyn Folder, path: &str) -> Result<Option<String>, SelectError> {
    match folder.find(path).map_err(failed(path))? {
        Some(ItemKind::File { size, .. }) if size > IGNORE_BYTES_MAX => Err(SelectError::Ignore {
            path: path.to_owned(),
            what: format!("it has more than {IGNORE_BYTES_MAX} bytes"),
        }),
        Some(ItemKind::File { .. }) => {
            let mut bytes = Vec::new();
            let open = folder.open(path).map_err(failed(path))?;
            open.take(IGNORE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed(path))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Ok(None),
    }
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> SelectError {
    let path = path.to_owned();
    move |cause| SelectError::Read { path, cause }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
