//! What an artifact is made for.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a word is not one of a fixed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a {what}: use one of {known}")]
pub struct UnknownWord {
    /// What the word should have been.
    pub what: &'static str,
    /// The word as written.
    pub word: String,
    /// The words there are.
    pub known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word for it, as in files and flags.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| UnknownWord {
                    what: $what,
                    word: text.chars().take(80).collect(),
                    known: Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(crate) use words;

words! {
    /// The language an author writes in.
    Runtime, "runtime",
    /// Python 3.12.
    Python = "python",
    /// Go.
    Go = "go",
    /// TypeScript or JavaScript on Deno.
    Deno = "deno",
    /// Rust.
    Rust = "rust",
    /// Any language: a component that exports `wasi:http/incoming-handler`, accepted as it is.
    Component = "component",
}

words! {
    /// The machine an artifact runs on.
    Target, "target",
    /// The host's own processor and operating system.
    Native = "native",
    /// A WebAssembly component for WASI 0.2.
    Wasm = "wasm",
}

words! {
    /// The form of an artifact's payload.
    ArtifactKind, "artifact kind",
    /// Sources and dependencies in a folder, run by the platform's interpreter.
    Packed = "packed",
    /// One minified module, run by the platform's Deno.
    Bundle = "bundle",
    /// One executable file.
    Binary = "binary",
    /// One WebAssembly component.
    Component = "component",
}
