//! A change as it is stored. Kept for a while only, but across a restart into the next release: so fields and kinds may
//! be added, and what stands here keeps its name.

use std::str::FromStr;

use ignite_core_model::{FunctionId, InstanceId, VersionNumber};
use serde::{Deserialize, Serialize};

use super::{ChangeItem, Desired, Instance, Route};
use crate::MetaError;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Item {
    RouteSet {
        label: String,
        app: FunctionId,
        version: VersionNumber,
    },
    RouteRemoved {
        label: String,
    },
    DesiredSet {
        app: FunctionId,
        version: VersionNumber,
        instances: u32,
        spec: String,
        generation: u64,
    },
    DesiredRemoved {
        app: FunctionId,
        version: VersionNumber,
    },
    InstanceSet {
        id: InstanceId,
        agent: String,
        app: FunctionId,
        version: VersionNumber,
        generation: u64,
        state: String,
        address: Option<String>,
        detail: String,
        updated_ms: u64,
    },
    InstanceRemoved {
        id: InstanceId,
    },
}

pub(super) fn write(item: &ChangeItem) -> Result<String, MetaError> {
    let item = match item.clone() {
        ChangeItem::RouteSet(Route { label, app, version }) => {
            Item::RouteSet { label: label.to_string(), app, version }
        }
        ChangeItem::RouteRemoved(label) => Item::RouteRemoved { label: label.to_string() },
        ChangeItem::DesiredSet(Desired { app, version, instances, spec, generation }) => {
            Item::DesiredSet { app, version, instances, spec, generation }
        }
        ChangeItem::DesiredRemoved(app, version) => Item::DesiredRemoved { app, version },
        ChangeItem::InstanceSet(instance) => {
            let Instance { id, agent, app, version, generation, state, address, detail, updated_ms } = instance;
            Item::InstanceSet { id, agent, app, version, generation, state, address, detail, updated_ms }
        }
        ChangeItem::InstanceRemoved(id) => Item::InstanceRemoved { id },
    };
    serde_json::to_string(&item).map_err(|_| UNREADABLE)
}

pub(super) fn read(body: &str) -> Result<ChangeItem, MetaError> {
    Ok(match serde_json::from_str(body).map_err(|_| UNREADABLE)? {
        Item::RouteSet { label, app, version } => ChangeItem::RouteSet(Route { label: parse(&label)?, app, version }),
        Item::RouteRemoved { label } => ChangeItem::RouteRemoved(parse(&label)?),
        Item::DesiredSet { app, version, instances, spec, generation } => {
            ChangeItem::DesiredSet(Desired { app, version, instances, spec, generation })
        }
        Item::DesiredRemoved { app, version } => ChangeItem::DesiredRemoved(app, version),
        Item::InstanceSet { id, agent, app, version, generation, state, address, detail, updated_ms } => {
            ChangeItem::InstanceSet(Instance {
                id,
                agent,
                app,
                version,
                generation,
                state,
                address,
                detail,
                updated_ms,
            })
        }
        Item::InstanceRemoved { id } => ChangeItem::InstanceRemoved(id),
    })
}

const UNREADABLE: MetaError = MetaError::Unreadable("changes.body");

fn parse<T: FromStr>(text: &str) -> Result<T, MetaError> {
    text.parse().map_err(|_| UNREADABLE)
}
