//! `ignite new`: a project from a template that is part of the program.

use std::fs;
use std::path::{Path, PathBuf};

use ignite_core_model::AppName;
use include_dir::{Dir, DirEntry, include_dir};

use crate::args::{NewArgs, TemplateRuntime};
use crate::exit::{CliError, Exit};
use crate::ui::Ui;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Stands for the app's name in file contents.
const NAME_MARK: &str = "{{name}}";

pub(crate) fn run(args: &NewArgs, ui: &mut Ui) -> Result<Exit, CliError> {
    let name: AppName = args.name.parse().map_err(|error| {
        CliError::new(Exit::InvalidArgument, format!("could not make `{}`", args.name)).caused_by(&error)
    })?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
    let failed = |error: &dyn std::error::Error| {
        CliError::new(Exit::InvalidArgument, format!("could not make `{}`", dir.display())).caused_by(error)
    };
    // An empty folder is as good as none; anything in it is somebody's work.
    let taken = match fs::read_dir(&dir) {
        Ok(mut entries) => entries.next().is_some().then_some("the folder exists and is not empty"),
        Err(_) => fs::symlink_metadata(&dir).is_ok().then_some("something of that name exists and is no folder"),
    };
    if let Some(taken) = taken {
        return Err(CliError::new(Exit::AlreadyExists, format!("could not make `{}`", dir.display()))
            .because(taken)
            .hint("choose another name, or another folder with --dir"));
    }
    let template = match args.runtime {
        TemplateRuntime::Python => "python",
        TemplateRuntime::Go => "go",
        TemplateRuntime::Deno => "deno",
        TemplateRuntime::Rust => "rust",
    };
    let template = TEMPLATES.get_dir(template).expect("each runtime has a folder in templates/");
    write(template, template.path(), &dir, &name).map_err(|error| failed(&error))?;
    ui.say(&format!("made {} from the {} template", dir.display(), template.path().display()));
    ui.say(&format!("next: ignite dev {}", dir.display()));
    Ok(Exit::Done)
}

fn write(template: &Dir<'_>, root: &Path, to: &Path, name: &AppName) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in template.entries() {
        let path = entry.path().strip_prefix(root).expect("entries lie below their folder");
        // `Cargo.toml` and `.gitignore` cannot stand in a package's own folder under these names.
        let path = to.join(renamed(path));
        match entry {
            DirEntry::Dir(dir) => {
                fs::create_dir_all(&path)?;
                write(dir, root, to, name)?;
            }
            DirEntry::File(file) => write_file(&path, file.contents(), name)?,
        }
    }
    Ok(())
}

fn renamed(path: &Path) -> PathBuf {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("_gitignore") => path.with_file_name(".gitignore"),
        Some(name) => path.with_file_name(name.strip_suffix(".template").unwrap_or(name)),
        None => path.to_owned(),
    }
}

fn write_file(path: &Path, content: &[u8], name: &AppName) -> std::io::Result<()> {
    match std::str::from_utf8(content) {
        Ok(text) => fs::write(path, text.replace(NAME_MARK, name.as_str())),
        Err(_) => fs::write(path, content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_file_names_are_renamed() {
        for (template, made) in [
            ("_gitignore", ".gitignore"),
            ("src/_gitignore", "src/.gitignore"),
            ("Cargo.toml.template", "Cargo.toml"),
            ("my_gitignore.templates", "my_gitignore.templates"),
        ] {
            assert_eq!(renamed(Path::new(template)), Path::new(made));
        }
    }
}
