//! The bindings for wasm are kept in the repository; they may not fall behind the WIT world.

#[test]
fn the_bindings_are_made_from_the_world_as_it_is() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let world = std::fs::read(format!("{folder}/../core/abi/wit/function.wit")).unwrap();
    let bindings = std::fs::read_to_string(format!("{folder}/src/wasm/bindings.rs")).unwrap();
    let told = bindings.lines().find_map(|line| line.strip_prefix("// FNV-1a of that file: ")).unwrap();
    let made = world
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(
        told,
        format!("{made:016x}"),
        "make the bindings again, as README.md says, and put this sum in their head"
    );
}
