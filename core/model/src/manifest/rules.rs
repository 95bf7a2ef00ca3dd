//! What the values of a manifest must be. Each rule answers with the fault as a clause that follows the key.

use super::AppManifest;
use crate::{ArtifactKind, Runtime, Target};

/// Most patterns in `include` and in `exclude`.
pub(super) const PATTERNS_MAX: usize = 256;

/// Most entries of `env` and `build_args`.
pub(super) const ENTRIES_MAX: usize = 256;

/// Longest path or pattern, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1024;

/// Longest value of a variable or build argument, in bytes. The kernel takes 128 KiB for a variable.
const VALUE_BYTES_MAX: usize = 32 * 1024;

/// A rule: the fault of a value, if it has one.
pub(super) type Rule = fn(&str) -> Option<String>;

fn fault(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

/// A path inside the author's folder.
pub(super) fn relative_path(path: &str) -> Option<String> {
    if path.is_empty() {
        fault("is empty: write a path relative to the folder, or leave it out")
    } else if path.len() > PATH_BYTES_MAX {
        fault(format!("is longer than {PATH_BYTES_MAX} bytes"))
    } else if path.chars().any(char::is_control) {
        fault("has a control character")
    } else if path.contains('\\') {
        fault("has a backslash: write `/` between folders")
    } else if path.starts_with('/') || path.starts_with('~') {
        fault(format!("is `{path}`: write a path relative to the folder"))
    } else if path.split('/').any(|part| part == "..") {
        fault(format!("is `{path}`: it must stay inside the folder, without `..`"))
    } else {
        None
    }
}

/// A pattern of files inside the author's folder: `*`, `**`, `?`, `[…]` and `{…,…}`.
pub(super) fn pattern(pattern: &str) -> Option<String> {
    if let Some(fault) = relative_path(&pattern.replace('\\', "")) {
        return Some(fault);
    }
    let mut chars = pattern.chars().peekable();
    let mut braces = 0usize;
    while let Some(next) = chars.next() {
        match next {
            '\\' if chars.next().is_none() => return fault(format!("is `{pattern}`: `\\` at the end escapes nothing")),
            '[' => {
                // A `]` right after the opening, or after its negation, is a member.
                if matches!(chars.peek(), Some('!' | '^')) {
                    chars.next();
                }
                chars.next();
                if !chars.any(|inner| inner == ']') {
                    return fault(format!("is `{pattern}`: the `[` has no `]`"));
                }
            }
            '{' => braces += 1,
            '}' if braces == 0 => return fault(format!("is `{pattern}`: the `}}` has no `{{`")),
            '}' => braces -= 1,
            _ => {}
        }
    }
    if braces > 0 { fault(format!("is `{pattern}`: the `{{` has no `}}`")) } else { None }
}

pub(super) fn description(text: &str) -> Option<String> {
    let chars = text.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        fault(format!("has {chars} characters, more than {DESCRIPTION_CHARS_MAX}"))
    } else {
        None
    }
}

/// A name of letters, digits and `_`, as shells and programs take it.
fn identifier(name: &str) -> bool {
    let first = name.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.len() <= 128
}

pub(super) fn env_name(name: &str) -> Option<String> {
    if !identifier(name) {
        fault("is not the name of a variable: use letters, digits and `_`, not beginning with a digit")
    } else if name == "PORT" || name.starts_with("IGNITE_") {
        fault("is set by ignite: choose another name")
    } else {
        None
    }
}

pub(super) fn env_value(value: &str) -> Option<String> {
    argument_value(value)
}

pub(super) fn argument_name(name: &str) -> Option<String> {
    if identifier(name) {
        None
    } else {
        fault("is not the name of a build argument: use letters, digits and `_`, not beginning with a digit")
    }
}

pub(super) fn argument_value(value: &str) -> Option<String> {
    if value.contains('\0') {
        fault("has a NUL character")
    } else if value.len() > VALUE_BYTES_MAX {
        fault(format!("has {} bytes, more than {VALUE_BYTES_MAX}", value.len()))
    } else {
        None
    }
}

pub(super) fn url_path(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        fault("must begin with `/`")
    } else if path.len() > PATH_BYTES_MAX {
        fault(format!("is longer than {PATH_BYTES_MAX} bytes"))
    } else if path.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#')) {
        fault("must be a path alone: without spaces, `?` and `#`, other characters as `%` and two digits")
    } else {
        None
    }
}

/// The forms there are. What is not written down may still turn out to be any of them.
const FORMS: [(Runtime, Target, ArtifactKind); 7] = [
    (Runtime::Python, Target::Native, ArtifactKind::Packed),
    (Runtime::Go, Target::Native, ArtifactKind::Binary),
    (Runtime::Deno, Target::Native, ArtifactKind::Bundle),
    (Runtime::Deno, Target::Native, ArtifactKind::Binary),
    (Runtime::Rust, Target::Native, ArtifactKind::Binary),
    (Runtime::Rust, Target::Wasm, ArtifactKind::Component),
    (Runtime::Component, Target::Wasm, ArtifactKind::Component),
];

/// The fault of a language, machine and form that do not go together.
pub(super) fn combination(manifest: &AppManifest) -> Option<String> {
    let AppManifest { runtime, target, kind, .. } = manifest;
    let fits = |form: &&(Runtime, Target, ArtifactKind)| {
        runtime.is_none_or(|runtime| runtime == form.0)
            && target.is_none_or(|target| target == form.1)
            && kind.is_none_or(|kind| kind == form.2)
    };
    if FORMS.iter().any(|form| fits(&form)) {
        return None;
    }
    let written = [target.map(|target| format!("to target {target}")), kind.map(|kind| format!("as kind {kind}"))];
    let written = written.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let Some(runtime) = runtime else { return fault(format!("no language compiles {written}")) };
    let forms = FORMS.iter().filter(|form| form.0 == *runtime);
    let known: Vec<String> = forms.map(|(_, target, kind)| format!("to target {target} as kind {kind}")).collect();
    fault(format!("{runtime} does not compile {written}, but {}", known.join(" or ")))
}
