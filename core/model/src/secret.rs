//! What must not be printed.

use std::fmt;

use zeroize::Zeroize;

/// A secret. It has no `Display`, its `Debug` says nothing, and its memory is overwritten when it is dropped.
///
/// What [`reveal`](Self::reveal) hands out is the reader's to guard: a copy is not overwritten.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Guards `value` from now on.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself. Write it to no log, error or record.
    #[must_use]
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_nothing() {
        let secret = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
