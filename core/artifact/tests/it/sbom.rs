//! What an artifact says of its making, and its bill of materials.

use ignite_core_artifact::provenance::{
    Ecosystem, Options, PROVENANCE_NAME, Package, PackageHash, Provenance, ProvenanceError, SourceEntry, UsedTool,
    read_provenance,
};
use ignite_core_artifact::{Compression, ReadLimits, cyclonedx};
use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};
use serde_json::Value;

use crate::support::{head, pack, payload};

fn package(ecosystem: Ecosystem, name: &str, version: &str, algorithm: &str, value: &str) -> Package {
    let hashes = vec![PackageHash { algorithm: algorithm.to_owned(), value: value.to_owned() }];
    Package { ecosystem, name: name.to_owned(), version: version.to_owned(), source: None, hashes }
}

fn provenance() -> Provenance {
    let hex = Digest::of(b"x").to_hex();
    let git = Package {
        source: Some("git+https://example.com/dep?branch=main#0123abcd".to_owned()),
        hashes: Vec::new(),
        ..package(Ecosystem::Cargo, "dep", "0.2.0", "", "")
    };
    Provenance {
        version: 1,
        compiler: UsedTool { name: "ignite".to_owned(), version: "0.1.0".to_owned(), digest: None },
        options: Options { runtime: Runtime::Python, target: Target::Native, kind: ArtifactKind::Packed, quick: false },
        tools: vec![UsedTool { name: "uv".to_owned(), version: "0.13.8".to_owned(), digest: Some(Digest::of(b"uv")) }],
        sdk: None,
        sources: vec![SourceEntry { path: "handler.py".to_owned(), digest: Digest::of(b"h"), executable: false }],
        packages: vec![
            package(Ecosystem::Cargo, "serde", "1.0.1+build", "SHA-256", &hex),
            git,
            package(Ecosystem::Golang, "github.com/Foo/bar", "v1.2.3", "h1", "h1:abc="),
            package(Ecosystem::Jsr, "@std/hex", "1.0.0", "SHA-256", &hex),
            package(Ecosystem::Npm, "@scope/name", "1.0.0-rc.1", "SHA-512", &hex.repeat(2)),
            package(Ecosystem::Pypi, "Typing_Extensions", "4.0", "record", &hex),
            package(Ecosystem::Url, "https://deno.land/x/a@1/mod.ts", "", "SHA-256", &hex),
        ],
    }
}

#[test]
fn what_went_in_is_read_back() {
    let mut files = payload();
    files.push((PROVENANCE_NAME.to_owned(), 0o644, provenance().to_bytes().unwrap()));
    let (artifact, written) = pack(head(), &files, Compression::Zstd);
    let (read, found) = read_provenance(&mut &*artifact, &ReadLimits::default()).unwrap();
    assert_eq!((read.digest, found), (written.digest, provenance()));

    let (without, _) = pack(head(), &payload(), Compression::Zstd);
    let absent = read_provenance(&mut &*without, &ReadLimits::default());
    assert!(matches!(absent, Err(ProvenanceError::Absent)));
}

/// A later writer may add keys; only what it cannot be understood without raises the version.
#[test]
fn later_keys_are_passed_over_and_later_versions_refused() {
    let mut later: Value = serde_json::from_slice(&provenance().to_bytes().unwrap()).unwrap();
    later["more"] = Value::Bool(true);
    later["options"]["more"] = Value::Null;
    assert_eq!(Provenance::parse(later.to_string().as_bytes()).unwrap(), provenance());
    later["version"] = 2.into();
    let error = Provenance::parse(later.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, ProvenanceError::Newer { found: 2 }), "{error}");
}

/// What the schema of CycloneDX 1.6 asks of the parts that are written, by hand: required keys, known words, unique
/// references, forms of serial numbers and hashes. `golden/sbom.json` was validated with the published schema.
#[test]
fn the_bill_of_materials_has_the_form_of_cyclonedx() {
    let (_, written) = pack(head(), &payload(), Compression::Zstd);
    let digest = Digest::of(b"artifact");
    let text = cyclonedx(digest, &written.manifest, &provenance());
    assert_eq!(text, cyclonedx(digest, &written.manifest, &provenance()), "the same every time");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/sbom.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let bom: Value = serde_json::from_str(&text).unwrap();
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert_eq!(golden, bom, "golden/sbom.json is old");
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert!(bom["version"].as_u64().unwrap() >= 1);
    let serial = bom["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let parts: Vec<usize> = serial.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    assert!(serial.split('-').all(hex));

    let mut references = vec!["app".to_owned()];
    let mut components: Vec<&Value> = bom["components"].as_array().unwrap().iter().collect();
    components.push(&bom["metadata"]["component"]);
    components.extend(bom["metadata"]["tools"]["components"].as_array().unwrap());
    for component in components {
        assert!(["application", "library"].contains(&component["type"].as_str().unwrap()));
        assert!(!component["name"].as_str().unwrap().is_empty());
        for hash in component["hashes"].as_array().into_iter().flatten() {
            let (algorithm, content) = (hash["alg"].as_str().unwrap(), hash["content"].as_str().unwrap());
            let digits = [("SHA-256", 64), ("SHA-512", 128)].into_iter().find(|(name, _)| *name == algorithm).unwrap();
            assert!(content.len() == digits.1 && hex(content), "{hash}");
        }
        if let Some(purl) = component["purl"].as_str() {
            assert_eq!(component["bom-ref"], component["purl"]);
            references.push(purl.to_owned());
        }
    }
    let named: Vec<&str> =
        bom["dependencies"].as_array().unwrap().iter().map(|entry| entry["ref"].as_str().unwrap()).collect();
    references.sort();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, references, "each component once");
}
