#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;

#[test]
fn the_file_of_the_repository_pins_every_tool() {
    let pins: Pins = include_str!("../../../../toolchains.toml").parse().unwrap();
    let needed: Vec<String> = Tool::ALL.iter().map(|tool| format!("{tool} {}", pins.pin(*tool).needed())).collect();
    expect_test::expect![[r#"
        [
            "python 3.12.x",
            "uv 0.13.x",
            "go 1.26.x",
            "deno 2.7.14",
            "cargo 1.93 or newer",
            "wasm-root 1.97.x",
            "wasm-linker 0.5.31",
        ]
    "#]]
    .assert_debug_eq(&needed);
    for tool in Tool::ALL {
        assert!(pins.pin(*tool).get.contains(tool.env_override()), "{tool}");
    }
}

#[test]
fn each_tool_answers_in_its_own_words() {
    let status = "Package: rust-src\nVersion: 9.9.9\n\nPackage: rustc\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.97.1+dfsg1-1\n\nPackage: sed\nVersion: 4.9-2\n";
    for (tool, output, version) in [
        (Tool::Python, "Python 3.12.1\n", "3.12.1"),
        (Tool::Python, "Python 3.13.0rc2+\n", "3.13.0"),
        (Tool::Uv, "uv 0.13.8 (x86_64-unknown-linux-gnu)\n", "0.13.8"),
        (Tool::Go, "go version go1.26.8 linux/amd64\n", "1.26.8"),
        (Tool::Go, "go version go1.26 linux/amd64\n", "1.26.0"),
        (Tool::Deno, "deno 2.7.14 (stable, release, x86_64-unknown-linux-gnu)\nv8 14.7.173.20-rusty\n", "2.7.14"),
        (Tool::Cargo, "cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n", "1.95.0"),
        (Tool::Cargo, "cargo 1.98.0-nightly (f2d3ce0bd 2026-03-21)\n", "1.98.0"),
        (Tool::WasmRoot, status, "1.97.1"),
        (Tool::WasmLinker, "wasm-component-ld 0.5.31\n", "0.5.31"),
    ] {
        assert_eq!(
            parse_version(tool, output).map(|version| version.to_string()).as_deref(),
            Some(version),
            "{output}"
        );
    }
    for (tool, output) in [
        (Tool::Python, ""),
        (Tool::Python, "pyenv: python3.12: command not found\n"),
        (Tool::Python, "Python three\n"),
        (Tool::Python, "Python 3\n"),
        (Tool::Python, "Python 99999999999.1.1\n"),
        (Tool::Deno, "uv 0.13.8\n"),
        (Tool::WasmRoot, "Package: sed\nVersion: 4.9-2\n"),
    ] {
        assert_eq!(parse_version(tool, output), None, "{output}");
    }
}

#[test]
fn a_pin_says_which_versions_will_do() {
    let pins = Pins::embedded();
    let check = |tool, major, minor, patch| {
        pins.pin(tool).check(Version { major, minor, patch }).map_err(|wrong| wrong.to_string())
    };
    assert_eq!(check(Tool::Python, 3, 12, 0), Ok(()));
    assert_eq!(check(Tool::Python, 3, 13, 0), Err("python is 3.13.0, needed is 3.12.x".to_owned()));
    assert_eq!(check(Tool::Deno, 2, 7, 15), Err("deno is 2.7.15, needed is 2.7.14".to_owned()));
    assert_eq!(check(Tool::Cargo, 1, 93, 0), Ok(()));
    assert_eq!(check(Tool::Cargo, 2, 0, 0), Ok(()));
    assert_eq!(check(Tool::Cargo, 1, 92, 9), Err("cargo is 1.92.9, needed is 1.93 or newer".to_owned()));
}

#[test]
fn a_broken_list_of_pins_is_refused() {
    let whole = include_str!("../../../../toolchains.toml");
    for (from, to) in [
        ("version = \"3.12\"", "version = \"3.12.\""),
        ("version = \"3.12\"", "version = \"03.12\""),
        ("version = \"3.12\"", "version = \"3.12.1.1\""),
        ("version = \"3.12\"", "version = \"latest\""),
        ("version = \"3.12\"", "version = \"3.12\"\nother = 1"),
        ("accept = \"newer\"", "accept = \"any\""),
        ("[wasm-linker]", "[zig]"),
    ] {
        assert!(whole.contains(from));
        assert!(whole.replacen(from, to, 1).parse::<Pins>().is_err(), "{to}");
    }
}

fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
}

#[test]
fn the_tools_own_variable_is_the_only_place() {
    let env = env(&[("IGNITE_PYTHON", "/opt/py/bin/python"), ("PATH", "/usr/bin"), ("HOME", "/home/a")]);
    assert_eq!(candidates(Tool::Python, &env), [PathBuf::from("/opt/py/bin/python")]);
}

#[test]
fn places_come_in_order_and_without_shims() {
    let env = env(&[("IGNITE_GO", ""), ("PATH", "/home/a/.pyenv/shims:/usr/bin:.::bin:/usr/bin"), ("HOME", "/home/a")]);
    let shown = |tool| {
        let all = candidates(tool, &env);
        all.iter().filter(|path| !path.starts_with("/home/a/.pyenv/versions")).cloned().collect::<Vec<_>>()
    };
    expect_test::expect![[r#"
        [
            "/home/a/.cache/ignite/toolchains/go/bin/go",
            "/usr/bin/go",
            "/usr/local/go/bin/go",
        ]
    "#]]
    .assert_debug_eq(&shown(Tool::Go));
    expect_test::expect![[r#"
        [
            "/home/a/.cache/ignite/toolchains/python/bin/python3.12",
            "/home/a/.cache/ignite/toolchains/python/bin/python3",
            "/usr/bin/python3.12",
            "/usr/bin/python3",
            "/usr/bin/python",
        ]
    "#]]
    .assert_debug_eq(&shown(Tool::Python));
    expect_test::expect![[r#"
        [
            "/home/a/.cache/ignite/toolchains/rust-wasm-rootfs",
        ]
    "#]]
    .assert_debug_eq(&shown(Tool::WasmRoot));
    let python = candidates(Tool::Python, &env);
    let at = |path: &str| python.iter().position(|candidate| candidate == Path::new(path)).unwrap();
    let pyenv = at("/home/a/.pyenv/versions/3.12.1/bin/python3.12");
    assert!(at("/usr/bin/python3.12") < pyenv && pyenv < at("/usr/bin/python3"));
    assert!(at("/home/a/.pyenv/versions/3.12.9/bin/python3.12") < pyenv);
}

#[test]
fn directories_can_be_chosen() {
    let env = env(&[("IGNITE_TOOLCHAINS", "/t"), ("PYENV_ROOT", "/py"), ("PATH", "/py/shims:/bin")]);
    assert_eq!(candidates(Tool::Uv, &env)[..2], [PathBuf::from("/t/uv/bin/uv"), PathBuf::from("/bin/uv")]);
    let python = candidates(Tool::Python, &env);
    assert!(python.contains(&PathBuf::from("/py/versions/3.12.1/bin/python3.12")));
    assert!(!python.iter().any(|path| path.starts_with("/py/shims")));
}
