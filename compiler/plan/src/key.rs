//! Keys of caches: a digest over named values, without ambiguity.

use ignite_core_model::Digest;

/// Collects what a cached result depends on. The order of the calls matters; what is added to `a`, `b` never equals
/// what is added to `ab`, because every value is preceded by its length.
#[derive(Debug, Clone)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// A key for results of `kind`. Change the word when the form of the result changes.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(Vec::with_capacity(512)).with("kind", kind)
    }

    /// Adds one named value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.0.extend_from_slice(part);
        }
        self
    }

    /// Adds a value that may be absent; absent differs from empty.
    #[must_use]
    pub fn with_option(self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.with(name, "some").with(name, value),
            None => self.with(name, "none"),
        }
    }

    /// The key.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_into_each_other() {
        let key = |a: &str, b: &str| KeyBuilder::new("t").with(a, b).finish();
        assert_ne!(key("a", "bc"), key("ab", "c"));
        let option = |value: Option<&str>| KeyBuilder::new("t").with_option("v", value).finish();
        assert_ne!(option(None), option(Some("")));
    }
}
