//! Copying objects from one store to another: a backup beside the dump of the records, and the way back.

use crate::transfer::copy_object;
use crate::{Objects, ObjectsError};

/// Objects that are listed at once.
const PAGE: usize = 1_000;

/// What a copy has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects that were copied.
    pub copied: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Objects that were there already, with the same size.
    pub kept: u64,
}

impl Objects {
    /// Copies all objects below `prefix` to another store, while this one serves. What is there already with the same
    /// size is kept, so a copy that was interrupted goes on. Objects are never rewritten with other content, so each
    /// is copied as it was or, if it is deleted meanwhile, left out.
    pub async fn copy_all(&self, to: &Self, prefix: &str) -> Result<Copied, ObjectsError> {
        let mut done = Copied::default();
        let mut after = None;
        loop {
            let page = self.list(prefix, after.as_ref(), PAGE).await?;
            for object in &page {
                if matches!(to.size(&object.key).await, Ok(size) if size == object.size) {
                    done.kept += 1;
                    continue;
                }
                match copy_object(self, to, object).await {
                    Ok(()) => {
                        done.copied += 1;
                        done.bytes += object.size;
                    }
                    Err(ObjectsError::Missing(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(done) };
            after = Some(last.key);
        }
    }
}
