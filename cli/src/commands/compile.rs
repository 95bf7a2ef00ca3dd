//! `ignite compile`

use std::path::{Path, PathBuf};

use ignite_compiler_builder::Compiled;
use ignite_core_artifact::provenance::read_provenance;
use ignite_core_artifact::{Compression, ReadLimits, cyclonedx};
use serde::Serialize;

use crate::args::{CompileArgs, Format};
use crate::exit::{CliError, Exit};
use crate::project::{self, Wanted};
use crate::settings::Settings;
use crate::ui::{Ui, size, table, time};

/// Where artifacts go that nobody named a file for; the compiler never packs it.
const OUT_FOLDER: &str = ".ignite";

pub(crate) fn run(args: &CompileArgs, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let compression = match args.format {
        Format::TarZst => Compression::Zstd,
        Format::TarGz => Compression::Gzip,
    };
    let beside = args.sbom.iter().cloned().collect();
    let wanted = Wanted { compression, beside, ..Wanted::new(&args.build)? };
    let out = match &args.out {
        Some(out) => out.clone(),
        None => default_out(&args.dir, args.format)?,
    };
    let compiled =
        project::compile(&project::builder(settings, args.build.allow_unsandboxed), &args.dir, &out, &wanted, ui)?;
    if let Some(sbom) = &args.sbom {
        write_sbom(&compiled, sbom)?;
    }
    ui.result(&Report::of(&compiled), Report::draw)?;
    Ok(Exit::Done)
}

/// Writes the bill of materials: of the artifact itself, so that a kept one has the same as a fresh one.
fn write_sbom(compiled: &Compiled, sbom: &Path) -> Result<(), CliError> {
    let failed = |exit, error: &dyn std::error::Error| {
        CliError::new(exit, format!("could not write the bill of materials to {}", sbom.display())).caused_by(error)
    };
    let file = std::fs::File::open(&compiled.artifact).map_err(|error| failed(Exit::Internal, &error))?;
    let (artifact, provenance) = read_provenance(&mut std::io::BufReader::new(file), &ReadLimits::default())
        .map_err(|error| failed(Exit::Internal, &error))?;
    let text = cyclonedx(artifact.digest, &artifact.manifest, &provenance);
    std::fs::write(sbom, text).map_err(|error| failed(Exit::InvalidArgument, &error))
}

fn default_out(source: &Path, format: Format) -> Result<PathBuf, CliError> {
    let extension = match format {
        Format::TarZst => "tar.zst",
        Format::TarGz => "tar.gz",
    };
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new(".")) };
    if !folder.is_dir() {
        // The compiler says it better.
        return Ok(source.join(OUT_FOLDER));
    }
    let out = folder.join(OUT_FOLDER);
    let ignored = std::fs::create_dir_all(&out).and_then(|()| std::fs::write(out.join(".gitignore"), "*\n"));
    ignored.map_err(|error| {
        CliError::new(Exit::InvalidArgument, format!("could not make {}", out.display()))
            .caused_by(&error)
            .hint("name a file that can be written with --out")
    })?;
    Ok(out.join(format!("{}.{extension}", project::name(source))))
}

/// What a compile gave, for people and for programs.
#[derive(Serialize)]
struct Report {
    artifact: PathBuf,
    digest: String,
    bytes: u64,
    runtime: String,
    target: String,
    kind: String,
    elapsed_ms: u128,
    cached: Vec<String>,
    /// Which part came from where.
    origins: Vec<String>,
    log: PathBuf,
}

impl Report {
    fn of(compiled: &Compiled) -> Self {
        Self {
            artifact: compiled.artifact.clone(),
            digest: compiled.digest.to_string(),
            bytes: compiled.bytes,
            runtime: compiled.manifest.runtime.to_string(),
            target: compiled.manifest.target.to_string(),
            kind: compiled.manifest.kind.to_string(),
            elapsed_ms: compiled.elapsed.as_millis(),
            cached: compiled.cached.clone(),
            origins: compiled.origins.iter().map(ToString::to_string).collect(),
            log: compiled.log.clone(),
        }
    }

    fn draw(&self, wide: bool) -> String {
        let cached = if self.cached.is_empty() { "nothing".to_owned() } else { self.cached.join(", ") };
        let elapsed = time(std::time::Duration::from_millis(u64::try_from(self.elapsed_ms).unwrap_or(u64::MAX)));
        let artifact = self.artifact.display().to_string();
        if wide {
            let row = vec![
                artifact,
                format!("{} {} {}", self.runtime, self.target, self.kind),
                size(self.bytes),
                elapsed,
                self.digest.clone(),
                cached,
                self.log.display().to_string(),
            ];
            return table(&["ARTIFACT", "FORM", "SIZE", "TIME", "DIGEST", "CACHED", "LOG"], &[row]);
        }
        let row = vec![artifact, size(self.bytes), elapsed, self.digest.clone(), cached];
        table(&["ARTIFACT", "SIZE", "TIME", "DIGEST", "CACHED"], &[row])
    }
}
