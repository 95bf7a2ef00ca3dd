//! `.cargo/config.toml`: Cargo's own settings, of which those count that say how the app's code is compiled, and not with
//! what, from where or to where.

use toml_edit::{Item, TableLike};

use super::SetAside;
use super::file::{File, key_span, texts};
use crate::mistake::Mistake;
use crate::tree::SourceTree;

/// Cargo reads the first that is there.
const PATHS: [&str; 2] = [".cargo/config", ".cargo/config.toml"];

/// Tables that say from where packages come, or what answers for them.
const REGISTRIES: [&str; 7] = ["source", "registries", "registry", "http", "net", "credential-alias", "paths"];

/// Settings of `[build]` that replace a tool.
const TOOLS: [(&str, &str); 4] = [
    ("rustc", "the compiler"),
    ("rustc-wrapper", "the compiler"),
    ("rustc-workspace-wrapper", "the compiler"),
    ("rustdoc", "a tool"),
];

/// Variables that steer Cargo, the compiler, or how programs are loaded; prefixes end with `_`.
const VARIABLES: [&str; 14] = [
    "LD_",
    "DYLD_",
    "CARGO_",
    "RUSTUP_",
    "RUSTC_",
    "GIT_",
    "SSL_",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO",
    "PATH",
    "HOME",
];

const OUT: &str = "take it out: tools and registries are chosen by whoever runs the compiler";

pub(super) fn check(tree: &SourceTree, mistakes: &mut Vec<Mistake>, aside: &mut SetAside) {
    for path in ["rust-toolchain", "rust-toolchain.toml"] {
        if tree.has(path) {
            aside.note(format!("{path} is not used: the toolchain is Ignite's"));
        }
    }
    for path in [".cargo/credentials", ".cargo/credentials.toml"] {
        if tree.has(path) {
            aside.files.push(path.to_owned());
            aside.note(format!("{path} is not used: passwords of registries are set by whoever runs the compiler"));
        }
    }
    for file in tree.files() {
        let nested = PATHS.iter().any(|path| file.path.strip_suffix(path).is_some_and(|folder| folder.ends_with('/')));
        if nested {
            aside.note(format!("{} is not used: Cargo runs in the root of the folder", file.path));
        }
    }
    for file in PATHS.into_iter().filter_map(|path| File::find(tree, path)) {
        match file.text.parse::<toml_edit::DocumentMut>() {
            Err(error) => {
                let what = format!("{} cannot be read: {}", file.path, error.message().trim().replace('\n', " "));
                mistakes.push(file.at_span(error.span(), what));
            }
            Ok(_) => {
                if let Some(document) = file.toml() {
                    Config { file, mistakes, aside }.check(document.as_table());
                }
            }
        }
    }
}

struct Config<'a> {
    file: File<'a>,
    mistakes: &'a mut Vec<Mistake>,
    aside: &'a mut SetAside,
}

impl Config<'_> {
    fn refuse(&mut self, span: Option<std::ops::Range<usize>>, what: String) {
        self.mistakes.push(self.file.at_span(span, what).next(OUT));
    }

    fn check(&mut self, root: &dyn TableLike) {
        for key in REGISTRIES {
            if root.contains_key(key) {
                self.refuse(key_span(root, key), format!("`{key}` would change from where packages come"));
            }
        }
        for (key, what) in [
            ("include", "other settings"),
            ("patch", "dependencies, which Cargo.toml names"),
            ("host", "how tools are compiled"),
        ] {
            if root.contains_key(key) {
                self.refuse(key_span(root, key), format!("`{key}` would bring in {what}"));
            }
        }
        if let Some(build) = root.get("build").and_then(Item::as_table_like) {
            self.build(build);
        }
        for (name, item) in tables(root, "target") {
            self.target(name, item);
        }
        if let Some(env) = root.get("env").and_then(Item::as_table_like) {
            self.env(env);
        }
        for (name, profile) in tables(root, "profile") {
            if profile.get("panic").and_then(Item::as_str) == Some("abort") {
                let what =
                    format!("`profile.{name}.panic = \"abort\"` would let one failed execution take all others down");
                let mistake = self.file.at_span(key_span(profile, "panic"), what);
                self.mistakes.push(mistake.next("take it out: a panic is caught and answered"));
            }
        }
        if root.contains_key("unstable") {
            self.aside.note(format!("`unstable` in {} is not used: the toolchain is a stable one", self.file.path));
        }
    }

    fn build(&mut self, build: &dyn TableLike) {
        for (key, what) in TOOLS {
            if build.contains_key(key) {
                self.refuse(key_span(build, key), format!("`build.{key}` would replace {what}"));
            }
        }
        if build.contains_key("build-dir") {
            self.refuse(key_span(build, "build-dir"), "`build.build-dir` would write elsewhere".to_owned());
        }
        for (key, why) in [("target", "`target` of ignite.toml decides"), ("target-dir", "the compiler has its own")] {
            if build.contains_key(key) {
                self.aside.note(format!("`build.{key}` in {} is not used: {why}", self.file.path));
            }
        }
        for key in ["rustflags", "rustdocflags"] {
            if let Some(flags) = build.get(key) {
                self.flags(flags, &format!("build.{key}"));
            }
        }
    }

    fn target(&mut self, name: &str, target: &dyn TableLike) {
        for (key, item) in target.iter() {
            match key {
                "linker" => {
                    self.refuse(key_span(target, key), format!("`target.{name}.linker` would replace the linker"))
                }
                "runner" => {
                    self.refuse(key_span(target, key), format!("`target.{name}.runner` would run another program"))
                }
                "rustflags" | "rustdocflags" => self.flags(item, &format!("target.{name}.{key}")),
                _ if item.is_table_like() => {
                    let what = format!("`target.{name}.{key}` would take the place of a build script");
                    self.refuse(key_span(target, key), what);
                }
                _ => {}
            }
        }
    }

    /// Flags of the compiler, of which some name programs or another machine.
    fn flags(&mut self, item: &Item, name: &str) {
        let words: Vec<(String, Option<std::ops::Range<usize>>)> = texts(item)
            .into_iter()
            .flat_map(|(text, span)| {
                text.split_whitespace().map(move |word| (word.to_owned(), span.clone())).collect::<Vec<_>>()
            })
            .collect();
        for (index, (word, span)) in words.iter().enumerate() {
            let next = words.get(index + 1).map_or("", |(word, _)| word.as_str());
            let option = match word.as_str() {
                "-C" | "--codegen" => next,
                word => word.strip_prefix("-C").or_else(|| word.strip_prefix("--codegen=")).unwrap_or_default(),
            };
            let why = if option.starts_with("linker=") || option.starts_with("linker-plugin-lto=") {
                "would replace the linker"
            } else if option == "target-cpu=native" {
                "is the machine that compiles, and not the one that serves"
            } else if option.strip_prefix("link-arg").is_some_and(names_program) {
                "would replace the linker or a part of it"
            } else if word.starts_with("--sysroot") || word.starts_with("-Z") || option.starts_with("codegen-backend") {
                "would replace a part of the compiler"
            } else {
                continue;
            };
            let shown =
                if matches!(word.as_str(), "-C" | "--codegen") { format!("{word} {next}") } else { word.clone() };
            self.refuse(span.clone(), format!("`{shown}` in `{name}` {why}"));
        }
    }

    fn env(&mut self, env: &dyn TableLike) {
        for (name, _) in env.iter() {
            let upper = name.to_ascii_uppercase();
            let steers = |variable: &&str| {
                if variable.ends_with('_') { upper.starts_with(*variable) } else { upper == **variable }
            };
            if VARIABLES.iter().any(steers) || upper.ends_with("_PROXY") {
                self.refuse(key_span(env, name), format!("`env.{name}` would steer the tools"));
            }
        }
    }
}

/// Whether an argument of the linker, after `link-arg`, makes it start or load another program.
fn names_program(rest: &str) -> bool {
    let Some((_, value)) = rest.split_once('=') else { return false };
    let value = value.trim_start_matches("-Wl,");
    let fuse = value.strip_prefix("-fuse-ld=").is_some_and(|linker| linker.contains('/'));
    let others = [
        "-B",
        "-specs",
        "--specs",
        "-wrapper",
        "-plugin",
        "--plugin",
        "-fplugin",
        "--ld-path",
        "-dynamic-linker",
        "--dynamic-linker",
    ];
    fuse || others.iter().any(|option| value.starts_with(option))
}

fn tables<'a>(root: &'a dyn TableLike, key: &str) -> impl Iterator<Item = (&'a str, &'a dyn TableLike)> {
    let table = root.get(key).and_then(Item::as_table_like);
    table.into_iter().flat_map(|table| table.iter()).filter_map(|(name, item)| Some((name, item.as_table_like()?)))
}
