//! The bill of materials of an artifact, as CycloneDX 1.6.

use std::collections::BTreeMap;

use ignite_core_model::Digest;
use serde_json::{Map, Value, json};

use crate::Manifest;
use crate::provenance::{Ecosystem, Package, Provenance, UsedTool};

/// The hash algorithms that CycloneDX has names for and that occur here.
const ALGORITHMS: [&str; 4] = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];

/// CycloneDX 1.6 in JSON of an artifact: the app, its packages, and the tools it was made with.
///
/// It is the same for the same artifact: its serial number is made of the artifact's digest, and it bears no time.
#[must_use]
pub fn cyclonedx(artifact: Digest, manifest: &Manifest, provenance: &Provenance) -> String {
    let name = manifest.name.as_ref().map_or("app", |name| name.as_str());
    let mut app = json!({
        "type": "application",
        "bom-ref": "app",
        "name": name,
        "hashes": [hash("SHA-256", &artifact.to_hex())],
    });
    let properties = [
        ("ignite:runtime", manifest.runtime.as_str().to_owned()),
        ("ignite:target", manifest.target.as_str().to_owned()),
        ("ignite:kind", manifest.kind.as_str().to_owned()),
        ("ignite:abi", manifest.abi.to_string()),
        ("ignite:source", manifest.source.to_string()),
    ];
    app["properties"] = properties.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();

    // One component for one name: a reference must be unique.
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    for package in &provenance.packages {
        components.entry(purl(package)).or_insert_with_key(|purl| component(package, purl));
    }
    let references: Vec<&String> = components.keys().collect();
    let mut tools: Vec<Value> = vec![tool(&provenance.compiler)];
    tools.extend(provenance.tools.iter().map(tool));
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(artifact),
        "version": 1,
        "metadata": { "lifecycles": [{ "phase": "build" }], "tools": { "components": tools }, "component": app },
        "dependencies": dependencies(&references),
        "components": components.values().collect::<Vec<_>>(),
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn dependencies(references: &[&String]) -> Vec<Value> {
    let mut all = vec![json!({ "ref": "app", "dependsOn": references })];
    all.extend(references.iter().map(|reference| json!({ "ref": reference })));
    all
}

fn hash(algorithm: &str, hex: &str) -> Value {
    json!({ "alg": algorithm, "content": hex })
}

fn tool(tool: &UsedTool) -> Value {
    let mut value = json!({ "type": "application", "name": tool.name, "version": tool.version });
    // Not of one file, and so no hash of the component in the sense of the format.
    if let Some(digest) = tool.digest {
        value["properties"] = json!([{ "name": "ignite:digest", "value": digest.to_string() }]);
    }
    value
}

fn component(package: &Package, purl: &str) -> Value {
    let mut value = Map::new();
    let mut set = |name: &str, content: Value| {
        value.insert(name.to_owned(), content);
    };
    set("type", json!("library"));
    set("bom-ref", json!(purl));
    let (group, name) = match package.ecosystem {
        Ecosystem::Npm | Ecosystem::Jsr => {
            package.name.split_once('/').map_or((None, package.name.as_str()), |(scope, name)| (Some(scope), name))
        }
        _ => (None, package.name.as_str()),
    };
    if let Some(group) = group {
        set("group", json!(group));
    }
    set("name", json!(name));
    if !package.version.is_empty() {
        set("version", json!(package.version));
    }
    set("scope", json!("required"));
    set("purl", json!(purl));
    let known = |algorithm: &str| ALGORITHMS.contains(&algorithm);
    let hashes = package.hashes.iter().filter(|hash| known(&hash.algorithm));
    let hashes: Vec<Value> = hashes.map(|one| hash(&one.algorithm, &one.value)).collect();
    if !hashes.is_empty() {
        set("hashes", json!(hashes));
    }
    let others = package.hashes.iter().filter(|hash| !known(&hash.algorithm));
    let properties: Vec<Value> =
        others.map(|one| json!({ "name": format!("ignite:{}", one.algorithm), "value": one.value })).collect();
    if !properties.is_empty() {
        set("properties", json!(properties));
    }
    if let Some(source) = &package.source {
        let kind = if source.starts_with("git+") { "vcs" } else { "distribution" };
        set("externalReferences", json!([{ "type": kind, "url": source }]));
    }
    Value::Object(value)
}

/// The package's address in the form of purl-spec.
fn purl(package: &Package) -> String {
    let kind = match package.ecosystem {
        Ecosystem::Cargo => "cargo",
        Ecosystem::Golang => "golang",
        Ecosystem::Jsr => "jsr",
        Ecosystem::Npm => "npm",
        Ecosystem::Pypi => "pypi",
        Ecosystem::Url => "generic",
    };
    let name = match package.ecosystem {
        // The distribution's name in its normal form (PEP 503).
        Ecosystem::Pypi => package.name.to_lowercase().replace(['_', '.'], "-"),
        Ecosystem::Golang => package.name.to_lowercase(),
        Ecosystem::Url => package.name.rsplit('/').find(|part| !part.is_empty()).unwrap_or("module").to_owned(),
        _ => package.name.clone(),
    };
    let path: Vec<String> = name.split('/').map(encoded).collect();
    let mut purl = format!("pkg:{kind}/{}", path.join("/"));
    if !package.version.is_empty() {
        purl.push('@');
        purl.push_str(&encoded(&package.version));
    }
    match (&package.source, package.ecosystem) {
        (_, Ecosystem::Url) => purl.push_str(&format!("?download_url={}", encoded(&package.name))),
        (Some(source), _) if source.starts_with("git+") => purl.push_str(&format!("?vcs_url={}", encoded(source))),
        (Some(source), _) => purl.push_str(&format!("?repository_url={}", encoded(source))),
        (None, _) => {}
    }
    purl
}

/// Percent-encoded as purl-spec asks: letters, digits and `.-_~` stay, and so does the colon.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A UUID of version 8 (RFC 9562: of any content) made of the artifact's digest.
fn serial(artifact: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&artifact.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = Digest::from_bytes([bytes, [0; 16]].concat().try_into().unwrap_or([0; 32])).to_hex();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
