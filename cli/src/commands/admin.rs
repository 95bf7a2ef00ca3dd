//! `ignite admin backup|restore`

use std::fs::File;

use ignite_store_meta::{Location, Meta, MetaOptions};
use ignite_store_objects::Address;
use serde::Serialize;

use crate::args::admin::{AdminCommand, BackupArgs, RestoreArgs};
use crate::exit::{CliError, Exit};
use crate::platform::stores::{claim, open_unsigned};
use crate::platform::{Data, Stores};
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
    let data = Data::of(args.stores.data.as_deref(), settings)?;
    let stores = Stores::of(&args.stores, &data, settings)?;
    if let Location::Sqlite(path) = &stores.records
        && !path.is_file()
    {
        return Err(CliError::new(Exit::NotFound, "could not back up the platform")
            .because(format!("there is no {}", path.display()))
            .hint("name its folder with --data, or its database with --store"));
    }
    let failed = failed("back up the platform");
    std::fs::create_dir_all(&args.out).map_err(|error| failed(&error))?;
    let meta = records(stores.records).await?;
    let part = args.out.join(RECORDS_PART);
    let file = File::create(&part).map_err(|error| failed(&error))?;
    let written = file.try_clone().map_err(|error| failed(&error))?;
    let rows = meta.dump(written).await.map_err(|error| failed(&error))?;
    file.sync_all().and_then(|()| std::fs::rename(&part, args.out.join(RECORDS))).map_err(|error| failed(&error))?;
    let objects = open_unsigned(stores.objects)?;
    let copied = objects.copy_all(&open_unsigned(Address::Folder(args.out.join(OBJECTS)))?, "").await;
    let copied = copied.map_err(|error| failed(&error))?;
    meta.close().await;
    Ok(Done { rows, objects: copied.copied, bytes: copied.bytes, kept: copied.kept })
}

/// The objects first: what a record names is there when the record is.
async fn restore(args: &RestoreArgs, settings: &Settings) -> Result<Done, CliError> {
    let data = Data::of(args.stores.data.as_deref(), settings)?;
    let stores = Stores::of(&args.stores, &data, settings)?;
    let dump = args.from.join(RECORDS);
    if !dump.is_file() {
        return Err(CliError::new(Exit::NotFound, format!("could not restore {}", args.from.display()))
            .because(format!("there is no {RECORDS} in it"))
            .hint("name the folder of a whole backup with --from"));
    }
    let _lock = data.lock()?;
    let failed = failed("restore the platform");
    let meta = records(stores.records).await?;
    let _claim = claim(&meta).await?;
    let objects = open_unsigned(stores.objects)?;
    let copied = open_unsigned(Address::Folder(args.from.join(OBJECTS)))?.copy_all(&objects, "").await;
    let copied = copied.map_err(|error| failed(&error))?;
    let file = File::open(&dump).map_err(|error| failed(&error))?;
    let rows = meta.restore(file).await.map_err(|error| failed(&error))?;
    meta.close().await;
    Ok(Done { rows, objects: copied.copied, bytes: copied.bytes, kept: copied.kept })
}

async fn records(location: Location) -> Result<Meta, CliError> {
    Meta::open(&MetaOptions::new(location)).await.map_err(|error| failed("open the records")(&error))
}

fn failed(what: &str) -> impl Fn(&dyn std::error::Error) -> CliError {
    let what = format!("could not {what}");
    move |error| CliError::new(Exit::Unavailable, what.clone()).caused_by(error)
}
