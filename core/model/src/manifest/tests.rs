#![allow(clippy::unwrap_used, reason = "a test")]
use expect_test::{Expect, expect};
use serde_json::Value;

use super::*;

/// What is said of a text with faults.
fn faults(text: &str, expected: Expect) {
    expected.assert_eq(&AppManifest::parse(text).unwrap_err().to_string());
}

const EVERYTHING: &str = r#"
name = "thumbnails"
org = "acme"
runtime = "rust"
target = "wasm"
kind = "component"
entrypoint = "src/lib.rs"
description = "Makes pictures small"
tier = "large"
memory_mb = 768
cpu_millicores = 750
timeout_secs = 60
max_concurrency = 8
expose_errors = true
allow_unauthenticated = false
include = ["data/**", "{a,b}/[!x]*.txt"]
exclude = ["data/raw"]

[env]
GREETING = "hello"

[scaling]
max_replicas = 10
reserved = 1
idle_secs = 300
"#;

const IMAGE: &str = r#"
[image]
dockerfile = "build/Dockerfile"
ports = [8080, 9090]
health_path = "/health"
build_args = { VERSION = "1" }
"#;

#[test]
fn every_key_is_read() {
    expect![[r#"
        AppManifest {
            name: Some(
                AppName(
                    "thumbnails",
                ),
            ),
            org: Some(
                OrganizationId(
                    "acme",
                ),
            ),
            runtime: Some(
                Rust,
            ),
            target: Some(
                Wasm,
            ),
            kind: Some(
                Component,
            ),
            entrypoint: Some(
                "src/lib.rs",
            ),
            description: Some(
                "Makes pictures small",
            ),
            tier: Some(
                Large,
            ),
            memory_mb: Some(
                768,
            ),
            cpu_millicores: Some(
                750,
            ),
            timeout_secs: Some(
                60,
            ),
            max_concurrency: Some(
                8,
            ),
            expose_errors: Some(
                true,
            ),
            allow_unauthenticated: Some(
                false,
            ),
            include: [
                "data/**",
                "{a,b}/[!x]*.txt",
            ],
            exclude: [
                "data/raw",
            ],
            env: {
                "GREETING": "hello",
            },
            scaling: ScalingSettings {
                max_replicas: Some(
                    10,
                ),
                reserved: Some(
                    1,
                ),
                idle_secs: Some(
                    300,
                ),
            },
            image: None,
        }
    "#]]
    .assert_debug_eq(&AppManifest::parse_compiled(EVERYTHING).unwrap());
    expect![[r#"
        Some(
            ImageSettings {
                dockerfile: Some(
                    "build/Dockerfile",
                ),
                ports: [
                    8080,
                    9090,
                ],
                health_path: Some(
                    "/health",
                ),
                build_args: {
                    "VERSION": "1",
                },
            },
        )
    "#]]
    .assert_debug_eq(&AppManifest::parse(IMAGE).unwrap().image);
}

#[test]
fn nothing_is_needed() {
    for text in ["", "\u{feff}", "# only a comment\n", "\r\n\r\n"] {
        assert_eq!(AppManifest::parse_compiled(text), Ok(AppManifest::default()), "{text:?}");
    }
    assert_eq!(AppManifest::default().resources(), Resources { memory_mb: 512, cpu_millicores: 500 });
    let manifest = AppManifest::parse("tier = \"small\"\nmemory_mb = 300").unwrap();
    assert_eq!(manifest.resources(), Resources { memory_mb: 300, cpu_millicores: 250 });
}

#[test]
fn all_faults_are_told_at_once() {
    faults(
        r#"name = "Hello World"
runtime = "Python"
timeout = 30
memory_mb = "512"
max_concurrency = 0

[env]
PORT = "80"
DEBUG = true

[scaling]
max_replicas = 2
reserved = 3
replicas = 4
"#,
        expect![[r#"
            line 1: `name` is wrong: `Hello World` is not a name: use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`
            line 2: `runtime` is wrong: `Python` is not a runtime: use one of python, go, deno, rust, component; did you mean `python`?
            line 3: unknown key `timeout`: did you mean `timeout_secs`?
            line 4: `memory_mb` is text: write a whole number from 64 to 32768 (MiB), such as `memory_mb = 512`
            line 5: `max_concurrency` is 0: it must be from 1 to 1000 (executions)
            line 8: `env.PORT` is set by ignite: choose another name
            line 9: `env.DEBUG` is true or false: write `DEBUG = "true"`
            line 13: `scaling.reserved` is 3, more than `scaling.max_replicas`, which is 2
            line 14: unknown key `scaling.replicas`: did you mean `max_replicas`?"#]],
    );
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    faults("tmeout_secs = 1", expect!["line 1: unknown key `tmeout_secs`: did you mean `timeout_secs`?"]);
    faults("memory = 1", expect!["line 1: unknown key `memory`: did you mean `memory_mb`?"]);
    faults("cpu = 1", expect!["line 1: unknown key `cpu`: did you mean `cpu_millicores`?"]);
    faults("Timeout-Secs = 1", expect!["line 1: unknown key `Timeout-Secs`: did you mean `timeout_secs`?"]);
    faults("concurrency = 1", expect!["line 1: unknown key `concurrency`: did you mean `max_concurrency`?"]);
    faults("ports = [80]", expect!["line 1: unknown key `ports`: `ports` belongs in `[image]`"]);
    faults("idle_secs = 1", expect!["line 1: unknown key `idle_secs`: `idle_secs` belongs in `[scaling]`"]);
    faults(
        "[scaling]\ntimeout_secs = 1",
        expect!["line 2: unknown key `scaling.timeout_secs`: `timeout_secs` belongs above all `[…]`"],
    );
    faults(
        "[scaling]\nxyz = 1",
        expect!["line 2: unknown key `scaling.xyz`: there is max_replicas, reserved, idle_secs"],
    );
    faults("[images]\nports = [80]", expect!["line 1: unknown key `images`: did you mean `image`?"]);
    faults("[environment]\nA = \"1\"", expect!["line 1: unknown key `environment`: did you mean `env`?"]);
    faults(
        "[image]\nbuildargs = { A = \"1\" }",
        expect!["line 2: unknown key `image.buildargs`: did you mean `build_args`?"],
    );
    faults(
        "qqq = 1\n\"two words\" = 1",
        expect![[r#"
        line 1: unknown key `qqq`: there is name, org, runtime, target, kind, entrypoint, description, tier, memory_mb, cpu_millicores, timeout_secs, max_concurrency, expose_errors, allow_unauthenticated, include, exclude, env, scaling, image
        line 2: unknown key `two words`: there is name, org, runtime, target, kind, entrypoint, description, tier, memory_mb, cpu_millicores, timeout_secs, max_concurrency, expose_errors, allow_unauthenticated, include, exclude, env, scaling, image"#]],
    );
}

#[test]
fn values_have_a_kind_and_a_range() {
    faults("timeout_secs = 3601", expect!["line 1: `timeout_secs` is 3601: it must be from 1 to 3600 (seconds)"]);
    faults("timeout_secs = -1", expect!["line 1: `timeout_secs` is -1: it must be from 1 to 3600 (seconds)"]);
    faults(
        "timeout_secs = 1.5",
        expect![
            "line 1: `timeout_secs` is a number: write a whole number from 1 to 3600 (seconds), such as `timeout_secs = 30`"
        ],
    );
    faults(
        "timeout_secs = 99999999999999999999",
        expect!["line 1: `timeout_secs` is 99999999999999999999: it must be from 1 to 3600 (seconds)"],
    );
    faults(
        "cpu_millicores = \"500m\"",
        expect![
            "line 1: `cpu_millicores` is text: write a whole number from 50 to 64000 (thousandths of a core), such as `cpu_millicores = 512`"
        ],
    );
    faults(
        "expose_errors = \"yes\"",
        expect![
            "line 1: `expose_errors` is text: write `expose_errors = true` or `expose_errors = false`, without quotes"
        ],
    );
    faults("name = 1", expect!["line 1: `name` is a number: write it in quotes"]);
    faults(
        "tier = \"medum\"",
        expect![
            "line 1: `tier` is wrong: `medum` is not a tier: use one of small, medium, large, xlarge; did you mean `medium`?"
        ],
    );
    faults("tier = 1", expect![[r#"line 1: `tier` is a number: write "small" or "medium" or "large" or "xlarge""#]]);
    faults(
        "include = \"data\"",
        expect![[r#"line 1: `include` is text: write a list, such as `include = ["data/**"]`"#]],
    );
    faults(
        "include = [1, \"\"]",
        expect![[r#"
        line 1: `include` has an entry that is a number: write it in quotes
        line 1: `include` is empty: write a path relative to the folder, or leave it out"#]],
    );
    faults("scaling = 3", expect!["line 1: `scaling` is a number: write a section `[scaling]`"]);
    faults("env = [\"A=1\"]", expect!["line 1: `env` is a list: write a section `[env]`"]);
    faults(
        "env = { A = 1, \"B C\" = \"x\", IGNITE_X = \"y\", D = \"\\u0000\" }",
        expect![[r#"
        line 1: `env.A` is a number: write `A = "1"`
        line 1: `env.B C` is not the name of a variable: use letters, digits and `_`, not beginning with a digit
        line 1: `env.D` has a NUL character
        line 1: `env.IGNITE_X` is set by ignite: choose another name"#]],
    );
    faults(
        "[image]\nports = [0, 80, 80, \"90\", 70000]\nhealth_path = \"healthz\"",
        expect![[r#"
        line 2: `image.ports` has an entry that is not a port: write numbers from 1 to 65535
        line 2: `image.ports` has 80 twice
        line 2: `image.ports` has an entry that is not a port: write numbers from 1 to 65535
        line 2: `image.ports` has an entry that is not a port: write numbers from 1 to 65535
        line 3: `image.health_path` must begin with `/`"#]],
    );
    assert_eq!(AppManifest::parse("timeout_secs = 0x1e").unwrap().timeout_secs, Some(30));
}

#[test]
fn paths_and_patterns_stay_inside() {
    faults(
        "entrypoint = \"../handler.py\"",
        expect!["line 1: `entrypoint` is `../handler.py`: it must stay inside the folder, without `..`"],
    );
    faults(
        "entrypoint = \"/srv/handler.py\"",
        expect!["line 1: `entrypoint` is `/srv/handler.py`: write a path relative to the folder"],
    );
    faults(
        "include = [\"~/data\", \"a/../../b\", \"a\\nb\"]",
        expect![[r#"
        line 1: `include` is `~/data`: write a path relative to the folder
        line 1: `include` is `a/../../b`: it must stay inside the folder, without `..`
        line 1: `include` has a control character"#]],
    );
    faults(
        "include = [\"a[\", \"[]\", \"{a,b\", \"a}\", 'a\\']",
        expect![[r#"
        line 1: `include` is `a[`: the `[` has no `]`
        line 1: `include` is `[]`: the `[` has no `]`
        line 1: `include` is `{a,b`: the `{` has no `}`
        line 1: `include` is `a}`: the `}` has no `{`
        line 1: `include` is `a\`: `\` at the end escapes nothing"#]],
    );
    faults(
        "[image]\ndockerfile = \"\"",
        expect!["line 2: `image.dockerfile` is empty: write a path relative to the folder, or leave it out"],
    );
    for pattern in ["**/*.txt", "a?c", "[]a]", "[!]]", "[^a-z]x", "{a,{b,c}}", "!keep", "\\[x", "größe/*"] {
        let text = format!("include = [{}]", Value::from(pattern));
        assert_eq!(AppManifest::parse(&text).unwrap().include, [pattern]);
    }
}

#[test]
fn language_machine_and_form_go_together() {
    faults(
        "runtime = \"python\"\ntarget = \"wasm\"",
        expect![
            "line 2: `target` and `runtime`: python does not compile to target wasm, but to target native as kind packed"
        ],
    );
    faults(
        "runtime = \"deno\"\nkind = \"packed\"",
        expect![
            "line 2: `kind` and `runtime`: deno does not compile as kind packed, but to target native as kind bundle or to target native as kind binary"
        ],
    );
    faults(
        "target = \"wasm\"\nkind = \"bundle\"",
        expect!["line 2: `kind` and `target`: no language compiles to target wasm as kind bundle"],
    );
    for text in ["target = \"wasm\"", "runtime = \"rust\"", "runtime = \"deno\"\nkind = \"binary\""] {
        assert!(AppManifest::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn image_settings_do_nothing_for_a_compiled_app() {
    expect![[r#"
        line 3: `image.dockerfile` is for containers and does nothing in a compiled app: remove it
        line 4: `image.ports` is for containers and does nothing in a compiled app: remove it
        line 5: `image.health_path` is for containers and does nothing in a compiled app: remove it
        line 6: `image.build_args` is for containers and does nothing in a compiled app: remove it"#]]
    .assert_eq(&AppManifest::parse_compiled(IMAGE).unwrap_err().to_string());
    expect!["line 1: `[image]` is for containers and does nothing in a compiled app: remove it"]
        .assert_eq(&AppManifest::parse_compiled("[image]").unwrap_err().to_string());
    faults(
        "runtime = \"go\"\n[image]\nports = [80]\nprots = [80]",
        expect![[r#"
        line 3: `image.ports` is for containers and does nothing in a compiled app (`runtime` makes it one): remove it
        line 4: `image.prots` is for containers and does nothing in a compiled app (`runtime` makes it one): remove it"#]],
    );
}

#[test]
fn broken_toml_is_told_with_its_lines() {
    faults(
        "name = hello\n\n[env\n",
        expect![[r#"
        line 1: string values must be quoted, expected literal string
        line 3: unclosed table, expected `]`"#]],
    );
    faults("name = \"a\"\nname = \"b\"", expect!["line 2: duplicate key"]);
    faults("name = \"never ended\n", expect![[r#"line 1: invalid basic string, expected `"`"#]]);
    faults("just words", expect!["line 1: key with no value, expected `=`"]);
    let long = "#".repeat(MANIFEST_TEXT_BYTES_MAX + 1);
    faults(&long, expect!["line 1: the file has 262145 bytes, more than 262144"]);
    let deep = format!("include = {}", "[".repeat(100_000));
    assert!(AppManifest::parse(&deep).is_err());
    assert!(AppManifest::parse(&format!("{}a = 1", "a.".repeat(50_000))).is_err());
}

#[test]
fn many_entries_are_refused() {
    let list = format!("include = [{}]", "\"a\",".repeat(rules::PATTERNS_MAX + 1));
    faults(&list, expect!["line 1: `include` has 257 entries, more than 256"]);
    let env: String = (0..=rules::ENTRIES_MAX).map(|number| format!("A{number} = \"\"\n")).collect();
    faults(&format!("[env]\n{env}"), expect!["line 1: `env` has 257 entries, more than 256"]);
}

/// The schema is published; editors and this code must not differ.
#[test]
fn the_published_schema_is_the_current_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/ignite.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, json_schema()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == json_schema(),
        "docs/reference/ignite.schema.json is old: run this test with UPDATE_GOLDEN=1"
    );
}

/// The properties of a table in the schema.
fn properties<'s>(schema: &'s Value, section: &str) -> &'s serde_json::Map<String, Value> {
    let name = match section {
        "scaling" => "ScalingSettings",
        "image" => "ImageSettings",
        _ => return schema["properties"].as_object().unwrap(),
    };
    schema["$defs"][name]["properties"].as_object().unwrap()
}

#[test]
fn schema_and_reader_agree() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    assert!(!json_schema().contains("\"null\""));
    let mut bounds = 0;
    for section in ["", "scaling", "image"] {
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        for (key, property) in properties(&schema, section) {
            // A date is wrong for every key, and an unknown key would be called so.
            let error = AppManifest::parse(&format!("{header}{key} = 2020-01-01")).unwrap_err().to_string();
            assert!(error.contains("is a date: write"), "{section} {key}: {error}");
            assert!(property["description"].is_string(), "{key}");
            let (Some(min), Some(max)) = (property["minimum"].as_i64(), property["maximum"].as_i64()) else { continue };
            bounds += 1;
            for (number, good) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
                let parsed = AppManifest::parse(&format!("{header}{key} = {number}"));
                assert_eq!(parsed.is_ok(), good, "{section} {key} = {number}");
            }
        }
    }
    assert_eq!(bounds, 7);
    for words in ["Runtime", "Target", "ArtifactKind", "Tier"] {
        assert!(schema["$defs"][words].is_object(), "{words}");
    }
}

/// Cut anywhere, or with any character in place of any other, a text is read or refused.
#[test]
fn no_text_makes_the_reader_panic() {
    let whole = format!("{EVERYTHING}{IMAGE}");
    for (place, _) in whole.char_indices() {
        let _ = AppManifest::parse(&whole[..place]);
        for other in ["", "\"", "[", "]", "{", "=", ".", "\n", "\0", "ö", "0"] {
            let changed = [&whole[..place], other, &whole[place + 1..]].concat();
            if let Err(errors) = AppManifest::parse(&changed) {
                assert!(!errors.0.is_empty());
                assert!(errors.0.is_sorted_by_key(|error| error.line));
            }
        }
    }
}
