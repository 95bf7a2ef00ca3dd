//! What an author reads who made a mistake: each `tests/fail/NAME.rs` is compiled against this crate as it was just
//! built, and what the compiler says is held in `NAME.txt`, without what differs between compilers. `UPDATE_EXPECT=1`
//! writes the texts anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn mistakes_are_told_at_their_place_and_with_what_to_write() {
    let mut sources: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_source(path))
        .collect();
    sources.sort();
    assert!(sources.len() > 10, "the cases are not where they should be");
    let mut wrong = String::new();
    for source in sources {
        let said = compile(&source);
        let expected = source.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&expected, said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            write!(wrong, "{}\n{said}\n", source.display()).unwrap();
        }
    }
    assert_eq!(wrong, "", "these say something else now");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fail")
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Compiles one source as the library of a package and tells the errors. `BIN` in its first line makes it a binary.
fn compile(source: &Path) -> String {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--emit=metadata", "--error-format=json", "--cap-lints=allow"]);
    let library = library();
    rustc.arg("-L").arg(format!("dependency={}", library.parent().unwrap().display()));
    rustc.arg("--extern").arg(format!("ignite={}", library.display()));
    let output = tempfile(source);
    rustc.arg("-o").arg(&output).arg(source);
    let is_binary = std::fs::read_to_string(source).unwrap().starts_with("// BIN");
    match is_binary {
        true => rustc.arg("--crate-type=bin").env("CARGO_BIN_NAME", "function"),
        false => rustc.arg("--crate-type=lib").env_remove("CARGO_BIN_NAME"),
    };
    let said = rustc.output().unwrap();
    let _ = std::fs::remove_file(output);
    let text = String::from_utf8(said.stderr).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| tell(&message))
        .collect()
}

/// This crate as Cargo built it: the newest, in the folder in which this program stands too.
fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let entries = std::fs::read_dir(program.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with("libignite-")
            && path.extension().is_some_and(|end| end == "rlib")
    };
    entries.filter(is_ours).max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

fn tempfile(source: &Path) -> PathBuf {
    let name = source.file_stem().unwrap().to_str().unwrap();
    std::env::temp_dir().join(format!("ignite-mistakes-{}-{name}.rmeta", std::process::id()))
}

/// One error: its message, the places in the author's file with their labels, and what this crate has to say on it.
fn tell(message: &Value) -> Option<String> {
    let text = message["message"].as_str()?;
    if message["level"] != "error" || text.starts_with("aborting due to") {
        return None;
    }
    let mut told = format!("error: {text}\n");
    for span in message["spans"].as_array()? {
        let file = Path::new(span["file_name"].as_str()?);
        if span["is_primary"] == true && file.starts_with(folder()) {
            let at = &span["text"][0];
            let (from, to) = (at["highlight_start"].as_u64()?, at["highlight_end"].as_u64()?);
            let marked: String =
                at["text"].as_str()?.chars().skip(from as usize - 1).take((to - from) as usize).collect();
            let label = span["label"].as_str().unwrap_or_default();
            writeln!(told, "  line {} `{marked}` {label}", span["line_start"]).ok()?;
        }
    }
    let children = message["children"].as_array()?.iter().filter_map(|child| child["message"].as_str());
    for note in children.filter(|note| ["handler", "answer with", "return"].iter().any(|word| note.contains(word))) {
        writeln!(told, "  note: {note}").ok()?;
    }
    Some(told.replace(" \n", "\n"))
}
