//! Identity providers whose tokens let callers in, from a file of the operator's.

use std::path::Path;
use std::sync::Arc;

use ignite_identity::{HttpKeys, IssuerOptions, Issuers};
use serde::Deserialize;

use crate::exit::{CliError, Exit};

/// Longest such file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The file: see `docs/reference/identity.md`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    issuer: Vec<IssuerOptions>,
}

/// The issuers that the file at `path` names; without a file there are none.
pub(super) fn load(path: &Path) -> Result<Issuers, CliError> {
    let wrong = |why: &str| CliError::new(Exit::InvalidArgument, format!("{}: {why}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) if text.len() > FILE_BYTES_MAX => {
            return Err(wrong(&format!("is longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Issuers::none()),
        Err(error) => return Err(wrong("cannot be read").caused_by(&error)),
    };
    parse(&text).map_err(|faults| wrong(&faults))
}

/// Every fault, one a line.
fn parse(text: &str) -> Result<Issuers, String> {
    let written: Written = toml_edit::de::from_str(text).map_err(|error| error.to_string())?;
    if written.issuer.is_empty() {
        return Ok(Issuers::none());
    }
    Issuers::new(written.issuer, Arc::new(HttpKeys::default())).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_issuers() {
        let good =
            "[[issuer]]\nissuer = 'https://id.example/'\naudience = 'ignite'\njwks_url = 'https://id.example/keys'\n";
        assert!(parse(good).is_ok_and(|issuers| issuers.are_meant_by("a.b.c")));
        assert!(parse("").is_ok_and(|issuers| !issuers.are_meant_by("a.b.c")));
        for (bad, why) in [
            (format!("{good}colour = 'mauve'\n"), "unknown field `colour`"),
            (format!("{good}algorithms = ['HS256']\n"), "HS256"),
            (format!("{good}{good}"), "is named twice"),
            (good.replace("https://id.example/keys", "http://id.example/keys"), "`https`"),
        ] {
            assert!(parse(&bad).is_err_and(|faults| faults.contains(why)), "{bad}");
        }
    }
}
