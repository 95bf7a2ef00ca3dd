//! Go: one static binary.

use crate::mistake::{Mistake, Mistakes};
use crate::tree::{SourceFile, SourceTree};

/// The import path of the SDK, and its module.
pub const SDK_MODULE: &str = "ignite";
/// The version the SDK is required under; a `replace` gives the folder.
pub const SDK_VERSION: &str = "v0.0.0";
/// The module of an author who wrote no `go.mod`. It is one word for everyone: a module's name is in the binary, and the
/// same source in another folder gives the same bytes.
pub const DEFAULT_MODULE: &str = "handler";

/// A `go.mod` for a folder without one.
#[must_use]
pub fn module_file(go_version: &str) -> String {
    let mut parts = go_version.split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("26"));
    format!("module {DEFAULT_MODULE}\n\ngo {major}.{minor}\n")
}

/// A file in the root that belongs to `package main`.
pub(crate) fn main_file(tree: &SourceTree) -> Option<&str> {
    let main = |file: &&SourceFile| read(file).is_some_and(|source| source.package.0 == "main");
    let mut files: Vec<&SourceFile> = sources(tree, ".").filter(main).collect();
    // The one an author would name.
    files.sort_by_key(|file| (file.path != "main.go", file.path.clone()));
    files.first().map(|file| file.path.as_str())
}

fn sources<'a>(tree: &'a SourceTree, folder: &'a str) -> impl Iterator<Item = &'a SourceFile> {
    tree.files().iter().filter(move |file| {
        let (parent, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
        parent == folder && name.ends_with(".go") && !name.ends_with("_test.go") && !name.starts_with(['_', '.'])
    })
}

/// The folder of the program, after a cheap look whether it can be one: `package main`, `func main`, `ignite.Start`.
///
/// # Errors
/// What the compiler would say later and less clearly, or would not say at all.
pub fn entry(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    let folder = match wished {
        Some(file) if file.ends_with(".go") => file.rsplit_once('/').map_or(".", |(folder, _)| folder),
        Some(folder) if !folder.is_empty() => folder,
        _ => ".",
    };
    let files: Vec<(&SourceFile, Source)> =
        sources(tree, folder).filter_map(|file| read(file).map(|source| (file, source))).collect();
    let start = "func main() { ignite.Start(handler) }";
    let Some((first, source)) = files.first() else {
        let place = if folder == "." { "this folder".to_owned() } else { format!("{folder}/") };
        return Err(Mistake::new(format!("there is no Go file in {place}"))
            .next(format!("write main.go: `package main`, `import \"ignite\"`, `{start}`"))
            .into());
    };
    let main: Vec<&(&SourceFile, Source)> = files.iter().filter(|(_, source)| source.package.0 == "main").collect();
    if main.is_empty() {
        let (package, line) = &source.package;
        return Err(Mistake::new(format!("a handler is a program, but {} is `package {package}`", first.path))
            .at(&first.path, *line, line_of(first, *line))
            .next(format!("write `package main`, and `{start}`"))
            .into());
    }
    let names = || main.iter().map(|(file, _)| file.path.as_str()).collect::<Vec<_>>().join(", ");
    if !main.iter().any(|(_, source)| source.has_main) {
        return Err(Mistake::new(format!("there is no `func main()` in {}", names()))
            .next(format!("add `{start}`"))
            .into());
    }
    // The call may stand in another package of the same module.
    let all: Vec<(&SourceFile, Source)> = tree
        .files()
        .iter()
        .filter(|file| file.path.ends_with(".go") && !file.path.ends_with("_test.go"))
        .filter_map(|file| read(file).map(|source| (file, source)))
        .collect();
    if all.iter().any(|(_, source)| source.starts) {
        return Ok(folder.to_owned());
    }
    let imported = all.iter().find_map(|(file, source)| source.sdk_line.map(|line| (*file, line)));
    let mistake = match imported {
        Some((file, line)) => Mistake::new("ignite.Start is never called, so nothing would be served")
            .at(&file.path, line, line_of(file, line))
            .next(format!("`{start}`")),
        None => Mistake::new(format!("{} does not import \"ignite\", so nothing would be served", names()))
            .next(format!("add `import \"ignite\"` and `{start}`")),
    };
    Err(mistake.into())
}

fn line_of(file: &SourceFile, line: usize) -> Option<&str> {
    file.text.as_deref()?.lines().nth(line.checked_sub(1)?)
}

/// What a cheap look at a Go file finds.
struct Source {
    package: (String, usize),
    /// The line of the import of the SDK.
    sdk_line: Option<usize>,
    /// Whether it calls `Start` of the SDK.
    starts: bool,
    has_main: bool,
}

fn read(file: &SourceFile) -> Option<Source> {
    let text = file.text.as_deref()?;
    if text.lines().take_while(|line| !line.starts_with("package")).any(|line| line.trim() == "//go:build ignore") {
        return None;
    }
    let tokens = tokens(text);
    let words: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    let at = words.windows(2).position(|pair| pair[0] == "package")?;
    let package = (words[at + 1].to_owned(), tokens[at + 1].1);
    let quoted = [format!("\"{SDK_MODULE}\""), format!("`{SDK_MODULE}`")];
    let import = words.iter().position(|word| quoted.iter().any(|quoted| quoted == word));
    let alias = import.map(|index| match words.get(index.wrapping_sub(1)) {
        Some(&"import" | &"(" | &";") | None => SDK_MODULE,
        Some(word) if word.starts_with(['"', '`']) => SDK_MODULE,
        Some(alias) => alias,
    });
    let starts = match alias {
        Some(".") => words.windows(2).any(|pair| pair == ["Start", "("]),
        Some(alias) => words.windows(3).any(|triple| triple == [alias, ".", "Start"]),
        None => false,
    };
    let has_main = words.windows(3).any(|triple| triple == ["func", "main", "("]);
    Some(Source { package, sdk_line: import.map(|index| tokens[index].1), starts, has_main })
}

/// Words, strings and single signs with their lines; comments are gone.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let mut out = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c == '\n' {
            line += 1;
            1
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if matches!(c, '"' | '`' | '\'') {
            let end = end_of_string(rest, c);
            out.push((rest[..end].to_owned(), line));
            end
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            out.push((rest[..end].to_owned(), line));
            end
        } else {
            if !c.is_whitespace() {
                out.push((c.to_string(), line));
            }
            c.len_utf8()
        };
        if c != '\n' {
            line += rest[..length].matches('\n').count();
        }
        rest = &rest[length..];
    }
    out
}

fn end_of_string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '\\' if quote != '`' && !escaped => escaped = true,
            '\n' if quote != '`' => return index,
            c if c == quote && !escaped => return index + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;
    use expect_test::{Expect, expect};

    fn check(files: &[(&str, &str)], expected: &Expect) {
        let text = match entry(&tree(files), None) {
            Ok(folder) => folder,
            Err(mistakes) => format!("{mistakes}\nhint: {}", mistakes.0[0].next.as_deref().unwrap_or("-")),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn a_program_that_starts_the_sdk_passes() {
        check(&[("main.go", "package main\nimport \"ignite\"\nfunc main() { ignite.Start(h) }")], &expect!["."]);
        check(
            &[("m.go", "/* a\n*/ package main\nimport (\n\t\"fmt\"\n\tig \"ignite\"\n)\nfunc main() { ig.Start(h) }")],
            &expect!["."],
        );
        check(&[("m.go", "package main\nimport . \"ignite\"\nfunc main() { Start(h) }")], &expect!["."]);
        check(
            &[
                ("main.go", "package main\nimport \"handler/srv\"\nfunc main() { srv.Run() }"),
                ("srv/s.go", "package srv\nimport \"ignite\"\nfunc Run() { ignite.Start(h) }"),
            ],
            &expect!["."],
        );
    }

    #[test]
    fn what_would_not_serve_is_said_before_anything_is_built() {
        check(
            &[(
                "main.go",
                "package main\n\nimport (\n\t\"ignite\"\n)\n\n// ignite.Start(h)\nfunc main() { s := \"ignite.Start(h)\" }",
            )],
            &expect![[r#"
                ignite.Start is never called, so nothing would be served
                  --> main.go:4
                  | 	"ignite"
                hint: `func main() { ignite.Start(handler) }`"#]],
        );
        check(
            &[("main.go", "package main\nfunc main() {}")],
            &expect![[r#"
                main.go does not import "ignite", so nothing would be served
                hint: add `import "ignite"` and `func main() { ignite.Start(handler) }`"#]],
        );
        check(
            &[("a.go", "package main\nimport \"ignite\"\n"), ("main_test.go", "package main\nfunc main() {}")],
            &expect![[r#"
                there is no `func main()` in a.go
                hint: add `func main() { ignite.Start(handler) }`"#]],
        );
        check(
            &[("a.go", "// x\npackage lib\n")],
            &expect![[r#"
                a handler is a program, but a.go is `package lib`
                  --> a.go:2
                  | package lib
                hint: write `package main`, and `func main() { ignite.Start(handler) }`"#]],
        );
    }

    #[test]
    fn odd_input_ends() {
        for text in ["\"", "'\\", "/*", "`\n", "package", "é\u{0}//", "import \"ignite\" package main"] {
            let _ = entry(&tree(&[("main.go", text)]), None);
        }
    }
}
