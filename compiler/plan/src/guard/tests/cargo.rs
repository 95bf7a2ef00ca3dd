use expect_test::expect;
use ignite_core_model::Runtime;

use super::check;

#[test]
fn rust_dependencies_come_from_here_or_by_https() {
    check(
        Runtime::Rust,
        &[
            (
                "Cargo.toml",
                r#"cargo-features = ["codegen-backend"]
[package]
name = "a"
build = "../build.rs"
[dependencies]
serde = "1"
fine = { git = "https://example.com/fine.git" }
disk = { git = "file:///srv/disk.git" }
program = { git = "ext::sh -c id" }
keyed = { git = "ssh://git@example.com/keyed.git" }
index = { version = "1", registry-index = "https://evil.example" }
UPPER = { path = "Shared" }
local = { path = "shared" }
ignite = { path = "../../sdk" }
[dev-dependencies]
tests = { path = "../tests" }
[workspace]
members = ["crates/*", "../other"]
[workspace.dependencies]
above = { path = "../above" }
[patch.crates-io]
serde = { path = "/srv/serde" }
"#,
            ),
            ("shared/Cargo.toml", "[dependencies]\nup = { path = \"../../up\" }\n"),
            ("crates/one/Cargo.toml", "[dev-dependencies]\nup = { path = \"../../../up\" }\n"),
            ("fixtures/Cargo.toml", "[dependencies]\nup = { path = \"../../up\" }\n"),
        ],
        &expect![[r#"
            `cargo-features` are for nightly toolchains
              --> Cargo.toml:1
              | cargo-features = ["codegen-backend"]
            hint: take the line out: the toolchain is a stable one
            `package.build` leads out of this folder, and only this folder is compiled
              --> Cargo.toml:4
              | build = "../build.rs"
            hint: put the file into this folder, and name it there
            dependency `disk` cannot be fetched from `file:///srv/disk.git`: it is on the disk of whoever compiles
              --> Cargo.toml:8
              | disk = { git = "file:///srv/disk.git" }
            hint: name it by `https://`, or put its code into this folder
            dependency `program` cannot be fetched from `ext::sh -c id`: it names a program that is to be run instead of a server
              --> Cargo.toml:9
              | program = { git = "ext::sh -c id" }
            hint: name it by `https://`, or put its code into this folder
            dependency `keyed` cannot be fetched from `ssh://git@example.com/keyed.git`: it needs a key, and a compile is given none
              --> Cargo.toml:10
              | keyed = { git = "ssh://git@example.com/keyed.git" }
            hint: name it by `https://`, or put its code into this folder
            dependency `index` names a registry by its address
              --> Cargo.toml:11
              | index = { version = "1", registry-index = "https://evil.example" }
            hint: name it by `registry`; its address is set by whoever runs the compiler
            dependency `UPPER` is to be in Shared, where there is no Cargo.toml
              --> Cargo.toml:12
              | UPPER = { path = "Shared" }
            hint: write it as the folder is called: shared
            member `../other` is outside this folder, and only this folder is compiled
              --> Cargo.toml:18
              | members = ["crates/*", "../other"]
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
            dependency `above` is outside this folder, and only this folder is compiled
              --> Cargo.toml:20
              | above = { path = "../above" }
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
            patch `serde` is outside this folder, and only this folder is compiled
              --> Cargo.toml:22
              | serde = { path = "/srv/serde" }
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
            dependency `up` is outside this folder, and only this folder is compiled
              --> crates/one/Cargo.toml:2
              | up = { path = "../../../up" }
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
            dependency `up` is outside this folder, and only this folder is compiled
              --> shared/Cargo.toml:2
              | up = { path = "../../up" }
            hint: compile the folder that holds both, as a workspace with `entrypoint = "MEMBER"` in its ignite.toml
        "#]],
    );
}

#[test]
fn settings_of_cargo_are_looked_at_one_by_one() {
    check(
        Runtime::Rust,
        &[(
            ".cargo/config.toml",
            r#"include = "other.toml"
paths = ["/srv/x"]
[build]
rustc = "./evil"
rustc-wrapper = "./evil"
target = "wasm32-wasip2"
target-dir = "/tmp/out"
build-dir = "/tmp/out"
rustflags = ["-C", "linker=./evil", "-Clink-arg=-fuse-ld=lld", "-C", "link-arg=-fuse-ld=/tmp/evil", "--cfg", "tokio_unstable"]
[target.x86_64-unknown-linux-gnu]
linker = "./evil"
runner = "./evil"
rustflags = "-C target-cpu=native -C opt-level=3"
[target.x86_64-unknown-linux-gnu.z]
rustc-link-lib = ["z"]
[source.crates-io]
replace-with = "evil"
[registries.evil]
index = "https://evil.example"
[net]
git-fetch-with-cli = true
[http]
proxy = "evil.example"
[env]
SQLX_OFFLINE = "true"
LD_PRELOAD = { value = "evil.so", relative = true }
rustc_wrapper = "x"
https_proxy = "x"
[profile.release]
panic = "abort"
[alias]
b = "build"
"#,
        )],
        &expect![[r#"
            `include` would bring in other settings
              --> .cargo/config.toml:1
              | include = "other.toml"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `paths` would change from where packages come
              --> .cargo/config.toml:2
              | paths = ["/srv/x"]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `build.rustc` would replace the compiler
              --> .cargo/config.toml:4
              | rustc = "./evil"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `build.rustc-wrapper` would replace the compiler
              --> .cargo/config.toml:5
              | rustc-wrapper = "./evil"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `build.build-dir` would write elsewhere
              --> .cargo/config.toml:8
              | build-dir = "/tmp/out"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `-C linker=./evil` in `build.rustflags` would replace the linker
              --> .cargo/config.toml:9
              | rustflags = ["-C", "linker=./evil", "-Clink-arg=-fuse-ld=lld", "-C", "link-arg=-fuse-ld=/tmp/evil", "--cfg", "tokio_unstable"]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `-C link-arg=-fuse-ld=/tmp/evil` in `build.rustflags` would replace the linker or a part of it
              --> .cargo/config.toml:9
              | rustflags = ["-C", "linker=./evil", "-Clink-arg=-fuse-ld=lld", "-C", "link-arg=-fuse-ld=/tmp/evil", "--cfg", "tokio_unstable"]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `target.x86_64-unknown-linux-gnu.linker` would replace the linker
              --> .cargo/config.toml:11
              | linker = "./evil"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `target.x86_64-unknown-linux-gnu.runner` would run another program
              --> .cargo/config.toml:12
              | runner = "./evil"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `-C target-cpu=native` in `target.x86_64-unknown-linux-gnu.rustflags` is the machine that compiles, and not the one that serves
              --> .cargo/config.toml:13
              | rustflags = "-C target-cpu=native -C opt-level=3"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `target.x86_64-unknown-linux-gnu.z` would take the place of a build script
              --> .cargo/config.toml:14
              | [target.x86_64-unknown-linux-gnu.z]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `source` would change from where packages come
              --> .cargo/config.toml:16
              | [source.crates-io]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `registries` would change from where packages come
              --> .cargo/config.toml:18
              | [registries.evil]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `net` would change from where packages come
              --> .cargo/config.toml:20
              | [net]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `http` would change from where packages come
              --> .cargo/config.toml:22
              | [http]
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `env.LD_PRELOAD` would steer the tools
              --> .cargo/config.toml:26
              | LD_PRELOAD = { value = "evil.so", relative = true }
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `env.rustc_wrapper` would steer the tools
              --> .cargo/config.toml:27
              | rustc_wrapper = "x"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `env.https_proxy` would steer the tools
              --> .cargo/config.toml:28
              | https_proxy = "x"
            hint: take it out: tools and registries are chosen by whoever runs the compiler
            `profile.release.panic = "abort"` would let one failed execution take all others down
              --> .cargo/config.toml:30
              | panic = "abort"
            hint: take it out: a panic is caught and answered
        "#]],
    );
    check(
        Runtime::Rust,
        &[
            (
                ".cargo/config",
                "[build]\ntarget = \"wasm32-wasip2\"\nrustflags = [\"--cfg\", \"x\"]\n[env]\nSQLX_OFFLINE = \"true\"\n[alias]\nb = \"build\"\n",
            ),
            ("api/.cargo/config.toml", "[build]\nrustc = \"./evil\"\n"),
            (".cargo/credentials.toml", "[registry]\ntoken = \"x\"\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"nightly\"\n"),
        ],
        &expect![[r#"
            note: rust-toolchain.toml is not used: the toolchain is Ignite's
            note: .cargo/credentials.toml is not used: passwords of registries are set by whoever runs the compiler
            note: api/.cargo/config.toml is not used: Cargo runs in the root of the folder
            note: `build.target` in .cargo/config is not used: `target` of ignite.toml decides
        "#]],
    );
    check(
        Runtime::Rust,
        &[(".cargo/config.toml", "[build\n")],
        &expect![[r#"
        .cargo/config.toml cannot be read: unclosed table, expected `]`
          --> .cargo/config.toml:1
          | [build
        hint: -
    "#]],
    );
}
