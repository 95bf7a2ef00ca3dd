//! Which interfaces this host offers, so that a component that needs others is told all of them at once.

/// Interfaces linked for every component, with the versions that fit: before 1.0 those of one minor version, after it
/// those of one major version. The linker cannot be asked what it has, so this list follows it by hand; an import that
/// passes here and is not linked after all is refused by the engine, in its words and without the others.
const OFFERED: &[(&str, &str)] = &[
    ("ignite:function/host", "1"),
    ("ignite:function/types", "1"),
    ("wasi:cli/environment", "0.2"),
    ("wasi:cli/exit", "0.2"),
    ("wasi:cli/stderr", "0.2"),
    ("wasi:cli/stdin", "0.2"),
    ("wasi:cli/stdout", "0.2"),
    ("wasi:cli/terminal-input", "0.2"),
    ("wasi:cli/terminal-output", "0.2"),
    ("wasi:cli/terminal-stderr", "0.2"),
    ("wasi:cli/terminal-stdin", "0.2"),
    ("wasi:cli/terminal-stdout", "0.2"),
    ("wasi:clocks/monotonic-clock", "0.2"),
    ("wasi:clocks/wall-clock", "0.2"),
    ("wasi:filesystem/preopens", "0.2"),
    ("wasi:filesystem/types", "0.2"),
    ("wasi:http/outgoing-handler", "0.2"),
    ("wasi:http/types", "0.2"),
    ("wasi:io/error", "0.2"),
    ("wasi:io/poll", "0.2"),
    ("wasi:io/streams", "0.2"),
    ("wasi:random/insecure", "0.2"),
    ("wasi:random/insecure-seed", "0.2"),
    ("wasi:random/random", "0.2"),
    ("wasi:sockets/instance-network", "0.2"),
    ("wasi:sockets/ip-name-lookup", "0.2"),
    ("wasi:sockets/network", "0.2"),
    ("wasi:sockets/tcp", "0.2"),
    ("wasi:sockets/tcp-create-socket", "0.2"),
    ("wasi:sockets/udp", "0.2"),
    ("wasi:sockets/udp-create-socket", "0.2"),
];

/// The interface of handlers in other toolchains.
const INCOMING_HANDLER: (&str, &str) = ("wasi:http/incoming-handler", "0.2");

/// Whether an import of this name, `package:name/interface@version`, is offered.
pub(crate) fn is_offered(import: &str) -> bool {
    OFFERED.iter().any(|offer| fits(import, *offer))
}

/// Whether an export of this name is a `wasi:http` handler.
pub(crate) fn is_incoming_handler(export: &str) -> bool {
    fits(export, INCOMING_HANDLER)
}

fn fits(name: &str, (interface, versions): (&str, &str)) -> bool {
    let Some((found, version)) = name.split_once('@') else { return false };
    // A version before its release fits itself alone.
    found == interface
        && !version.contains('-')
        && version.strip_prefix(versions).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_within_their_compatible_range() {
        for offered in
            ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.12", "ignite:function/host@1.0.0", "ignite:function/host@1.7.3"]
        {
            assert!(is_offered(offered), "{offered}");
        }
        for other in [
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.20.0",
            "wasi:io/poll@0.2.0-rc-2023-11-10",
            "wasi:keyvalue/store@0.2.0",
            "ignite:function/host@2.0.0",
            "ignite:function/host@10.0.0",
            "",
        ] {
            assert!(!is_offered(other), "{other}");
        }
    }
}
