//! Lists of packages, from the files in which the tools of each language write down what they took.

use ignite_core_artifact::provenance::{Ecosystem, Package, PackageHash};

/// A file that a tool wrote, in which the packages of a compile stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockText {
    /// `Cargo.lock`
    Cargo(String),
    /// `go.sum`
    Go(String),
    /// `deno.lock`
    Deno(String),
}

/// Every package with what proves its content, in order and each once.
pub(crate) fn packages(lock: &LockText) -> Vec<Package> {
    let mut found = match lock {
        LockText::Cargo(text) => cargo(text),
        LockText::Go(text) => go(text),
        LockText::Deno(text) => deno(text),
    };
    found.sort();
    found.dedup();
    found
}

/// A Python distribution by the folder with its metadata; `record` is the digest of the list of its files.
pub(crate) fn distribution(folder: &str, record: &str) -> Option<Package> {
    let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
    Some(Package {
        ecosystem: Ecosystem::Pypi,
        name: name.to_owned(),
        version: version.to_owned(),
        source: None,
        hashes: vec![hash("record", record)],
    })
}

fn hash(algorithm: &str, value: &str) -> PackageHash {
    PackageHash { algorithm: algorithm.to_owned(), value: value.to_owned() }
}

/// The public registry, as Cargo names it in a lock file, by whichever protocol it is reached.
pub(crate) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn cargo(text: &str) -> Vec<Package> {
    let mut found = Vec::new();
    for package in text.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            Some(line.trim_end().trim_end_matches('"').to_owned())
        };
        // What has no source stands in the author's folder, and is listed with it.
        let (Some(name), Some(version), Some(source)) = (field("name"), field("version"), field("source")) else {
            continue;
        };
        let source = (source != CRATES_IO).then(|| without_password(&source));
        let hashes = field("checksum").map(|hex| hash("SHA-256", &hex)).into_iter().collect();
        found.push(Package { ecosystem: Ecosystem::Cargo, name, version, source, hashes });
    }
    found
}

/// The modules that `go.sum` has contents of.
fn go(text: &str) -> Vec<Package> {
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version, sum) = (words.next()?, words.next()?, words.next()?);
        // The other lines are of modules of which only go.mod was read.
        (!version.ends_with("/go.mod")).then(|| Package {
            ecosystem: Ecosystem::Golang,
            name: name.to_owned(),
            version: version.to_owned(),
            source: None,
            hashes: vec![hash("h1", sum)],
        })
    };
    text.lines().filter_map(package).collect()
}

fn deno(text: &str) -> Vec<Package> {
    let lock: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let table = |name: &str| lock.get(name).and_then(serde_json::Value::as_object).into_iter().flatten();
    let mut found = Vec::new();
    for (registry, ecosystem) in [("jsr", Ecosystem::Jsr), ("npm", Ecosystem::Npm)] {
        for (key, entry) in table(registry) {
            // A name, `@`, a version, and after `_` the versions of peers. A name may begin with `@`.
            let Some(at) = key.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1) else { continue };
            let version = key[at + 1..].split('_').next().unwrap_or_default().to_owned();
            let integrity = entry.get("integrity").and_then(serde_json::Value::as_str);
            let hashes = integrity.and_then(integrity_hash).into_iter().collect();
            found.push(Package { ecosystem, name: key[..at].to_owned(), version, source: None, hashes });
        }
    }
    for (address, sum) in table("remote") {
        let hashes = sum.as_str().map(|hex| hash("SHA-256", hex)).into_iter().collect();
        let (ecosystem, name) = (Ecosystem::Url, without_password(address));
        found.push(Package { ecosystem, name, version: String::new(), source: None, hashes });
    }
    found
}

/// An integrity of npm (`sha512-` and base64) or of JSR (hexadecimal digits).
fn integrity_hash(integrity: &str) -> Option<PackageHash> {
    let Some((algorithm, base64)) = integrity.split_once('-') else {
        let hex = integrity.len() == 64 && integrity.bytes().all(|byte| byte.is_ascii_hexdigit());
        return hex.then(|| hash("SHA-256", &integrity.to_lowercase()));
    };
    let (algorithm, bytes) = match algorithm {
        "sha1" => ("SHA-1", 20),
        "sha256" => ("SHA-256", 32),
        "sha384" => ("SHA-384", 48),
        "sha512" => ("SHA-512", 64),
        _ => return None,
    };
    let content = from_base64(base64)?;
    let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
    (content.len() == bytes).then(|| hash(algorithm, &hex))
}

/// Base64 of RFC 4648 with its padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// An address without the user and password that may stand in it.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}://{host}{}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(lock: &LockText, expected: &Expect) {
        let mut text = String::new();
        for package in packages(lock) {
            let hashes: Vec<String> =
                package.hashes.iter().map(|hash| format!("{}={}", hash.algorithm, &hash.value[..6])).collect();
            let source = package.source.unwrap_or_default();
            let line =
                format!("{:?} {} {} {} {source}", package.ecosystem, package.name, package.version, hashes.join(","));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn packages_of_cargo() {
        let lock = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"serde\",\n]\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"0123456789\"\n\n[[package]]\nname = \"dep\"\nversion = \"0.2.0\"\nsource = \"git+https://user:secret@example.com/dep?rev=1#abc\"\n";
        check(
            &LockText::Cargo(lock.to_owned()),
            &expect![[r#"
                Cargo dep 0.2.0  git+https://example.com/dep?rev=1#abc
                Cargo serde 1.0.1 SHA-256=012345
            "#]],
        );
    }

    #[test]
    fn modules_with_contents() {
        let sums = "a.b/c v1.0.0 h1:xyz=\na.b/c v1.0.0/go.mod h1:y=\nd.e/f v0.1.0/go.mod h1:z=\n";
        check(
            &LockText::Go(sums.to_owned()),
            &expect![[r#"
                Golang a.b/c v1.0.0 h1=h1:xyz
            "#]],
        );
    }

    #[test]
    fn packages_of_deno() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let sha512 = "sha512-9/u6bgY2+JDlb7vzKD5STG+jIErimDgtYkdB0NxmODJuKCxBvl5CVNiCB3LFUYosWowMf37aGVlKfrU5RT4e1w==";
        let lock = format!(
            r#"{{"version": "5", "jsr": {{"@std/hex@1.0.0": {{"integrity": "{hex}"}}}}, "npm": {{"react-dom@18.2.0_react@18.2.0": {{"integrity": "{sha512}"}}, "@a/b@1.0.0-rc.1": {{}}, "odd": {{}}, "": {{}}}}, "remote": {{"https://deno.land/x/a.ts": "{hex}"}}}}"#
        );
        check(
            &LockText::Deno(lock),
            &expect![[r#"
                Jsr @std/hex 1.0.0 SHA-256=2c26b4
                Npm @a/b 1.0.0-rc.1
                Npm react-dom 18.2.0 SHA-512=f7fbba
                Url https://deno.land/x/a.ts  SHA-256=2c26b4
            "#]],
        );
        check(&LockText::Deno("[]".to_owned()), &expect![""]);
    }
}
