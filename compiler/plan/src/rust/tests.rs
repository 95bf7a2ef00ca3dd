#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;
use crate::tree::tests::tree;
use expect_test::{Expect, expect};

const LIB: &str = "use ignite::prelude::*;\n#[ignite::main]\nasync fn handler() {}\n";

fn check(files: &[(&str, &str)], folder: &str, expected: &Expect) {
    let text: String = match Package::read(&tree(files), folder) {
        Ok(package) => {
            let files = package.rewritten(Target::Native);
            files.iter().map(|(path, text)| format!("-- {path}\n{text}")).collect()
        }
        Err(Mistakes(mistakes)) => mistakes
            .iter()
            .map(|mistake| format!("{mistake}\nhint: {}\n", mistake.next.as_deref().unwrap_or("-")))
            .collect(),
    };
    expected.assert_eq(&text);
}

#[test]
fn what_is_missing_is_added_to_the_copy() {
    check(
        &[("Cargo.toml", "[package]\nname = \"he-llo\"\nversion = \"0.1.0\"\n"), ("src/lib.rs", LIB)],
        ".",
        &expect![[r#"
            -- ignite-worker.rs
            fn main() {
                he_llo::__ignite_main()
            }
            -- Cargo.toml
            [package]
            name = "he-llo"
            version = "0.1.0"

            [dependencies]
            ignite = { path = ".ignite/sdk-rust" }
            serde = { version = "1", features = ["derive"] }
            serde_json = { version = "1" }
            tokio = { version = "1", default-features = false, features = ["rt", "time", "sync", "macros", "io-util"] }

            [[bin]]
            name = "ignite-worker"
            path = "ignite-worker.rs"

            [profile.release]
            lto = "thin"
            strip = true
            codegen-units = 1

            [workspace]
            exclude = [".ignite"]
        "#]],
    );
}

#[test]
fn what_the_author_set_stays() {
    check(
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\n[lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nignite = \"0.1\"\nserde = \"1.0.100\" # ours\n[dev-dependencies]\nfixtures = { path = \"../fixtures\" }\n[profile.release]\nlto = false\n",
            ),
            ("src/lib.rs", LIB),
        ],
        ".",
        &expect![[r#"
            -- ignite-worker.rs
            fn main() {
                a::__ignite_main()
            }
            -- Cargo.toml
            [package]
            name = "a"
            [lib]
            crate-type = ["cdylib", "lib"]
            [dependencies]
            ignite = { path = ".ignite/sdk-rust" }
            serde = "1.0.100" # ours
            serde_json = { version = "1" }
            tokio = { version = "1", default-features = false, features = ["rt", "time", "sync", "macros", "io-util"] }
            [profile.release]
            lto = false
            strip = true
            codegen-units = 1

            [[bin]]
            name = "ignite-worker"
            path = "ignite-worker.rs"

            [workspace]
            exclude = [".ignite"]
        "#]],
    );
}

#[test]
fn a_member_of_a_workspace_is_compiled_in_it() {
    check(
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"api\"]\n"),
            (
                "api/Cargo.toml",
                "[package]\nname = \"api\"\nversion.workspace = true\n[dependencies]\nshared = { path = \"../shared\" }\n",
            ),
            ("api/src/main.rs", LIB),
        ],
        "api",
        &expect![[r#"
            -- Cargo.toml
            [workspace]
            members = ["api"]
            exclude = [".ignite"]

            [profile.release]
            lto = "thin"
            strip = true
            codegen-units = 1
            -- api/Cargo.toml
            [package]
            name = "api"
            version.workspace = true
            [dependencies]
            shared = { path = "../shared" }
            ignite = { path = "../.ignite/sdk-rust" }
            serde = { version = "1", features = ["derive"] }
            serde_json = { version = "1" }
            tokio = { version = "1", default-features = false, features = ["rt", "time", "sync", "macros", "io-util"] }
        "#]],
    );
}

#[test]
fn mistakes_are_all_reported_at_once() {
    check(
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\nversion.workspace = true\n[target.'cfg(unix)'.dependencies]\nshared = { path = \"../shared\" }\n[profile.release]\npanic = \"abort\"\n",
            ),
            ("src/lib.rs", "pub fn handler() {}"),
        ],
        ".",
        &expect![[r#"
            a inherits from a workspace that is not in this folder
              --> Cargo.toml:3
              | version.workspace = true
            hint: compile the workspace's folder, with `entrypoint = "MEMBER"` in its ignite.toml, or write the value here
            dependency `shared` is outside this folder, and only this folder is compiled
              --> Cargo.toml:5
              | shared = { path = "../shared" }
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
            `panic = "abort"` would let one failed execution take all others down
            hint: take it out of [profile.release]: a panic is caught and answered
            no function in src/lib.rs is marked `#[ignite::main]`
            hint: write `#[ignite::main]` above `async fn handler(req: Request, ctx: Context)`
        "#]],
    );
    check(
        &[("Cargo.toml", "[workspace]\nmembers = [\"api\", \"web\"]\n")],
        ".",
        &expect![[r#"
            Cargo.toml is a workspace, and an app is one package of it: api, web
            hint: say which in ignite.toml beside it: `entrypoint = "api"`
        "#]],
    );
    check(
        &[("Cargo.toml", "[dependencies]\n")],
        ".",
        &expect![[r#"
            Cargo.toml has no [package]
            hint: add `[package]` with `name`, `version` and `edition = "2024"`
        "#]],
    );
    check(
        &[("Cargo.toml", "[package\nname = 1\n")],
        ".",
        &expect![[r#"
        Cargo.toml cannot be read: unclosed table, expected `]`
          --> Cargo.toml:1
          | [package
        hint: -
    "#]],
    );
}
