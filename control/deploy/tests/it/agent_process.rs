//! An agent in a process of its own, which a test can kill.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ignite_control_deploy::local::LocalBackend;
use ignite_control_deploy::{Agent, AgentOptions};
use tokio_util::sync::CancellationToken;

use crate::app::{APP, Shelf, Vault};
use crate::machine::options;
use crate::rows::{Rows, SOON};

/// The folder of the agent's store.
const FOLDER: &str = "IGNITE_TEST_AGENT_FOLDER";

/// This very test, started again as an agent. It ends when it is killed.
pub(crate) fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["agent_process::serves_where_it_is_told_to", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing by itself: it is the program of [`start`].
#[tokio::test(flavor = "multi_thread")]
async fn serves_where_it_is_told_to() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let shelf = Shelf::new(&folder.join("artifacts"));
    shelf.put(APP);
    let backend = LocalBackend::new(options(folder), Arc::new(shelf), Arc::new(Vault::default())).unwrap();
    let options = AgentOptions { name: "agent".to_owned(), drain_max: SOON };
    Agent::new(Rows::open(folder).await, Arc::new(backend), options).run(CancellationToken::new()).await;
}
