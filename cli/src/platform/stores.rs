//! Where the platform keeps its records and its objects.

use ignite_store_meta::{Claim, LOST_SECS_MAX, Location, Meta, has_password};
use ignite_store_objects::{Address, Location as ObjectsLocation, Objects, UrlSigner};

use super::{Data, failed};
use crate::args::StoreArgs;
use crate::exit::{CliError, Exit};
use crate::settings::Settings;

/// The variable that holds the address of the records.
const STORE: &str = "IGNITE_STORE";
/// What of the records one platform claims: two would each think the other's hosts their own.
const CLAIM: &str = "serve";

/// The places of both.
pub(crate) struct Stores {
    pub(crate) records: Location,
    pub(crate) objects: Address,
}

impl Stores {
    /// Those that are named, else files in the folder of the data.
    pub(crate) fn of(args: &StoreArgs, data: &Data, settings: &Settings) -> Result<Self, CliError> {
        let (records, objects) = (args.store.as_deref(), args.objects.as_deref());
        let find = |name: &str| (settings.env)(name)?.into_string().ok().filter(|value| !value.is_empty());
        let refused = |what: &str, why: String| {
            CliError::new(Exit::InvalidArgument, format!("could not use the address of {what}")).because(why)
        };
        if let Some(url) = records
            && has_password(url)
            && find(STORE).as_deref() != Some(url)
        {
            let why = "it has a password, which everybody on this machine can read in a command line".to_owned();
            return Err(refused("--store", why).hint(format!("set {STORE} instead")));
        }
        let records = records.map_or_else(|| Ok(Location::Sqlite(data.records())), str::parse);
        let objects = objects.map_or_else(|| Ok(Address::Folder(data.objects())), |url| Address::read(url, find));
        Ok(Self {
            records: records.map_err(|error| refused("--store", error.to_string()))?,
            objects: objects.map_err(|error| refused("--objects", error.to_string()))?,
        })
    }
}

/// Makes sure that no other platform has these records.
pub(crate) async fn claim(meta: &Meta) -> Result<Claim, CliError> {
    let claimed = meta.claim(CLAIM).await.map_err(|error| failed("claim the records", &error))?;
    claimed.ok_or_else(|| {
        taken("could not take the records for this platform")
            .hint(format!(
                "stop the other one, or name another database with --store; where its machine is gone, try again in {LOST_SECS_MAX} s"
            ))
    })
}

/// Another platform has the records.
pub(crate) fn taken(what: &str) -> CliError {
    CliError::new(Exit::Unavailable, what).because("another `ignite serve` has them")
}

/// Opens the objects where nothing is signed.
pub(crate) fn open_unsigned(address: Address) -> Result<Objects, CliError> {
    Objects::open(&address.unsigned()).map_err(|error| failed("open the object store", &error))
}

/// Opens the objects and sees that they answer. What signs their URLs is given back where this platform serves them itself.
pub(super) async fn objects(address: Address, signer: UrlSigner) -> Result<(Objects, Option<UrlSigner>), CliError> {
    let (location, signer) = match address {
        Address::Folder(root) => (ObjectsLocation::Folder { root, signer: signer.clone() }, Some(signer)),
        Address::Bucket(options) => (ObjectsLocation::S3(options), None),
    };
    let objects = Objects::open(&location).map_err(|error| failed("open the object store", &error))?;
    objects.check().await.map_err(|error| {
        failed("reach the object store", &error).hint("look at --objects and at AWS_ACCESS_KEY_ID and its like")
    })?;
    Ok((objects, signer))
}
