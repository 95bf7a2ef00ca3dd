//! `ignite admin backup|restore`

use std::fs::File;
use std::path::Path;

use ignite_core_model::Secret;
use ignite_store_meta::{Location, Meta, MetaOptions};
use ignite_store_objects::{Location as ObjectsLocation, Objects, UrlSigner};
use serde::Serialize;

use crate::args::admin::{AdminCommand, BackupArgs, RestoreArgs};
use crate::exit::{CliError, Exit};
use crate::platform::Data;
use crate::serve;
use crate::settings::Settings;
use crate::show;
use crate::ui::{Ui, size};

/// The records in a backup.
const RECORDS: &str = "records.dump";

/// The same while it is written.
const RECORDS_PART: &str = "records.dump.part";

/// The objects in a backup.
const OBJECTS: &str = "objects";

/// What a backup or a restore has done.
#[derive(Serialize)]
struct Done {
    rows: u64,
    objects: u64,
    bytes: u64,
    /// Objects that were there already.
    kept: u64,
}

pub(crate) fn run(command: &AdminCommand, settings: &Settings, ui: &mut Ui) -> Result<Exit, CliError> {
    let runtime = serve::runtime()?;
    let done = match command {
        AdminCommand::Backup(args) => runtime.block_on(backup(args, settings))?,
        AdminCommand::Restore(args) => runtime.block_on(restore(args, settings))?,
    };
    if matches!(command, AdminCommand::Restore(_)) {
        ui.say(
            "the sealing key is not in a backup: put the old platform's `sealing-key` into the folder, or give it in \
             IGNITE_SEALING_KEY",
        );
    }
    ui.result(&done, |done, _| {
        show::pairs(&[
            ("rows", done.rows.to_string()),
            ("objects", format!("{}, {}", done.objects, size(done.bytes))),
            ("there already", done.kept.to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

/// The records first: objects are written before a record names them, so the copy has all that the dump needs.
async fn backup(args: &BackupArgs, settings: &Settings) -> Result<Done, CliError> {
    let data = Data::of(args.data.as_deref(), settings)?;
    if !data.records().is_file() {
        return Err(CliError::new(Exit::NotFound, format!("could not back up {}", data.folder().display()))
            .because("there is no platform's data in it")
            .hint("name its folder with --data"));
    }
    let failed = failed("back up", data.folder());
    std::fs::create_dir_all(&args.out).map_err(|error| failed(&error))?;
    let meta = records(&data).await?;
    let part = args.out.join(RECORDS_PART);
    let file = File::create(&part).map_err(|error| failed(&error))?;
    let written = file.try_clone().map_err(|error| failed(&error))?;
    let rows = meta.dump(written).await.map_err(|error| failed(&error))?;
    file.sync_all().and_then(|()| std::fs::rename(&part, args.out.join(RECORDS))).map_err(|error| failed(&error))?;
    let copied = objects(&data.objects())?.copy_all(&objects(&args.out.join(OBJECTS))?, "").await;
    let copied = copied.map_err(|error| failed(&error))?;
    meta.close().await;
    Ok(Done { rows, objects: copied.copied, bytes: copied.bytes, kept: copied.kept })
}

/// The objects first: what a record names is there when the record is.
async fn restore(args: &RestoreArgs, settings: &Settings) -> Result<Done, CliError> {
    let data = Data::of(args.data.as_deref(), settings)?;
    let dump = args.from.join(RECORDS);
    if !dump.is_file() {
        return Err(CliError::new(Exit::NotFound, format!("could not restore {}", args.from.display()))
            .because(format!("there is no {RECORDS} in it"))
            .hint("name the folder of a whole backup with --from"));
    }
    let _lock = data.lock()?;
    let failed = failed("restore to", data.folder());
    let copied = objects(&args.from.join(OBJECTS))?.copy_all(&objects(&data.objects())?, "").await;
    let copied = copied.map_err(|error| failed(&error))?;
    let meta = records(&data).await?;
    let file = File::open(&dump).map_err(|error| failed(&error))?;
    let rows = meta.restore(file).await.map_err(|error| failed(&error))?;
    meta.close().await;
    Ok(Done { rows, objects: copied.copied, bytes: copied.bytes, kept: copied.kept })
}

async fn records(data: &Data) -> Result<Meta, CliError> {
    let options = MetaOptions::new(Location::Sqlite(data.records()));
    Meta::open(&options).await.map_err(|error| failed("open the records in", data.folder())(&error))
}

fn objects(folder: &Path) -> Result<Objects, CliError> {
    // Nothing is signed here; a key that nobody knows signs nothing that anybody takes.
    let signer = UrlSigner::new(Secret::new(rand::random()), "http://localhost/objects");
    Objects::open(&ObjectsLocation::Folder { root: folder.to_owned(), signer })
        .map_err(|error| failed("open the objects in", folder)(&error))
}

fn failed(what: &str, folder: &Path) -> impl Fn(&dyn std::error::Error) -> CliError {
    let what = format!("could not {what} {}", folder.display());
    move |error| CliError::new(Exit::Unavailable, what.clone()).caused_by(error)
}
