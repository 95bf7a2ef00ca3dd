//! The API's words as people read them. Pure.

use std::time::{Duration, UNIX_EPOCH};

use ignite_core_proto::v1;
use v1::{CompileStatus, ExecutionStatus};

/// What stands for nothing in a table.
pub(crate) const NOTHING: &str = "-";

/// Whether a compile, a publish or a rollback has ended.
pub(crate) fn has_ended(status: buffa::EnumValue<CompileStatus>) -> bool {
    status == CompileStatus::COMPILE_STATUS_SUCCEEDED
        || status == CompileStatus::COMPILE_STATUS_FAILED
        || status == CompileStatus::COMPILE_STATUS_CANCELLED
}

/// Whether an execution has ended.
pub(crate) fn execution_has_ended(status: buffa::EnumValue<ExecutionStatus>) -> bool {
    status == ExecutionStatus::EXECUTION_STATUS_SUCCEEDED
        || status == ExecutionStatus::EXECUTION_STATUS_FAILED
        || status == ExecutionStatus::EXECUTION_STATUS_TIMED_OUT
        || status == ExecutionStatus::EXECUTION_STATUS_CANCELLED
}

/// The word of an enum without its type's name: `VERSION_STATUS_ACTIVE` is `active`.
pub(crate) fn word<E: buffa::Enumeration>(value: buffa::EnumValue<E>) -> String {
    let prefix = E::from_i32(0).map(|zero| zero.proto_name().trim_end_matches("UNSPECIFIED").to_owned());
    let name = value.to_string();
    match name.strip_prefix(prefix.as_deref().unwrap_or_default()).unwrap_or(&name) {
        "UNSPECIFIED" => NOTHING.to_owned(),
        short => short.to_lowercase().replace('_', "-"),
    }
}

/// A text, or what stands for none.
pub(crate) fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { plain(text) }
}

/// A number, or what stands for 0.
pub(crate) fn number(number: u64) -> String {
    if number == 0 { NOTHING.to_owned() } else { number.to_string() }
}

/// A version, `v3`, or what stands for none.
pub(crate) fn version(version: u32) -> String {
    if version == 0 { NOTHING.to_owned() } else { format!("v{version}") }
}

/// A moment in UTC, to the second: `2024-05-28 14:40:00Z`. 0 is none.
pub(crate) fn moment(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms) if ms > 0 => rfc3339(Duration::from_millis(ms / 1000 * 1000)).replace('T', " "),
        _ => NOTHING.to_owned(),
    }
}

/// A moment in UTC, to the thousandth, as the lines of logs begin with it.
pub(crate) fn instant(ms: i64) -> String {
    let ms = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    UNIX_EPOCH
        .checked_add(ms)
        .map_or_else(|| NOTHING.to_owned(), |moment| humantime::format_rfc3339_millis(moment).to_string())
}

fn rfc3339(since: Duration) -> String {
    // Years beyond 9999 have no such form.
    let moment = UNIX_EPOCH.checked_add(since).filter(|_| since.as_secs() < 253_402_300_800);
    moment.map_or_else(|| NOTHING.to_owned(), |moment| humantime::format_rfc3339_seconds(moment).to_string())
}

/// The language of a handler, with what is special about it: `rust wasm`, `deno binary`.
pub(crate) fn runtime(runtime: Option<&v1::Runtime>) -> String {
    use v1::__buffa::oneof::runtime::Language;
    match runtime.and_then(|runtime| runtime.language.as_ref()) {
        None => NOTHING.to_owned(),
        Some(Language::Python(_)) => "python".to_owned(),
        Some(Language::Go(_)) => "go".to_owned(),
        Some(Language::Component(_)) => "component".to_owned(),
        Some(Language::Deno(deno)) if deno.kind == v1::DenoArtifactKind::DENO_ARTIFACT_KIND_BINARY => {
            "deno binary".to_owned()
        }
        Some(Language::Deno(_)) => "deno".to_owned(),
        Some(Language::Rust(rust)) if rust.target == v1::RustCompilationTarget::RUST_COMPILATION_TARGET_WASM => {
            "rust wasm".to_owned()
        }
        Some(Language::Rust(_)) => "rust".to_owned(),
    }
}

/// A text without what a terminal obeys: control characters are written out, and colours stay.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\t' => 1,
            '\u{1b}' => colour(rest),
            first if first.is_control() || ('\u{202a}'..='\u{202e}').contains(&first) => 0,
            first => first.len_utf8(),
        };
        if length == 0 {
            out.extend(first.escape_unicode());
            rest = &rest[first.len_utf8()..];
        } else {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out
}

/// Length of the colour that a text begins with (`ESC [ numbers m`), or 0.
fn colour(text: &str) -> usize {
    let Some(body) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = body.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if body.as_bytes().get(numbers) == Some(&b'm') { 2 + numbers + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short() {
        assert_eq!(word(v1::VersionStatus::VERSION_STATUS_ACTIVE.into()), "active");
        assert_eq!(word(v1::CodeKind::CODE_KIND_UPLOAD_IMAGE.into()), "upload-image");
        assert_eq!(word::<v1::ResourceTier>(Default::default()), "-");
        assert_eq!(word::<v1::ResourceTier>(buffa::EnumValue::Unknown(77)), "77");
        assert_eq!([version(0), version(3), number(0), number(7)], ["-", "v3", "-", "7"]);
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(1_716_900_000_123), "2024-05-28 12:40:00Z");
        assert_eq!(instant(1_716_900_000_123), "2024-05-28T12:40:00.123Z");
        assert_eq!([moment(0), moment(-5), moment(i64::MAX)], ["-", "-", "-"]);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_goes_through() {
        for (text, shown) in [
            ("plain ä\t1", "plain ä\t1"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\rb\u{1b}", "a\\u{d}b\\u{1b}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
