//! Generates messages, services and clients from `proto/`. The definitions are compiled by a library, so that no `protoc` has
//! to be on the machine.

use std::path::PathBuf;

const FILES: [&str; 5] = [
    "ignite/v1/types.proto",
    "ignite/v1/compute.proto",
    "ignite/v1/deployment.proto",
    "ignite/v1/secret.proto",
    "ignite/v1/identity.proto",
];

/// Served beside the API by a library that has no definition of it to show.
const HEALTH: &str = "grpc/health/v1/health.proto";

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let set = out.join("ignite.v1.bin");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    std::fs::write(&set, compiler.encode_file_descriptor_set())?;
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).open_file(HEALTH)?;
    std::fs::write(out.join("health.bin"), compiler.encode_file_descriptor_set())?;
    connectrpc_build::Config::new()
        .descriptor_set(&set)
        .files(&FILES)
        .include_file("_ignite.rs")
        .emit_descriptor_set("descriptor_set.bin")
        // It would name the set, which this program writes: each build would find it newer than the last.
        .emit_rerun_directives(false)
        .compile()
}
