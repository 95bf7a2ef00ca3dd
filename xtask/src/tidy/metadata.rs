//! `cargo metadata`, as far as the rules need it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::output;
use crate::workspace::Workspace;

/// With nothing cached it downloads every dependency.
const METADATA_MAX: Duration = Duration::from_secs(10 * 60);

/// One crate, of the workspace or not.
pub(crate) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its licence, as it says itself.
    pub(super) licence: Option<String>,
    /// Its manifest.
    pub(super) manifest: PathBuf,
    /// For members: the folder below the root, as `core/abi`.
    pub(super) place: Option<String>,
    /// Names of all crates it depends on directly, resolved, of every kind and platform.
    pub(super) dependencies: Vec<String>,
}

/// All crates of the dependency graph.
pub(crate) struct Metadata {
    pub(super) packages: Vec<Package>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When the lock file does not fit the manifests, or the crates cannot be had.
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        let mut command = workspace.cargo();
        command.args(["metadata", "--format-version", "1", "--locked"]);
        let text = output(command, METADATA_MAX)?;
        let value: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
        Self::parse(&value, workspace).context("cargo metadata has another form than expected")
    }

    fn parse(value: &Value, workspace: &Workspace) -> Option<Self> {
        let packages = value["packages"].as_array()?;
        let members: Vec<&str> = value["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
        let names: HashMap<&str, &str> =
            packages.iter().filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();
        let nodes: HashMap<&str, &Value> = value["resolve"]["nodes"]
            .as_array()?
            .iter()
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let parse = |package: &Value| {
            let id = package["id"].as_str()?;
            let manifest = PathBuf::from(package["manifest_path"].as_str()?);
            let folder = manifest.parent()?.strip_prefix(&workspace.root).ok();
            let place = folder.filter(|_| members.contains(&id)).map(|folder| folder.display().to_string());
            let edges = nodes.get(id).and_then(|node| node["deps"].as_array());
            let edges = edges.into_iter().flatten();
            let mut dependencies: Vec<String> =
                edges.filter_map(|edge| names.get(edge["pkg"].as_str()?).map(ToString::to_string)).collect();
            dependencies.sort();
            dependencies.dedup();
            Some(Package {
                name: package["name"].as_str()?.into(),
                version: package["version"].as_str()?.into(),
                licence: package["license"].as_str().map(String::from),
                manifest,
                place,
                dependencies,
            })
        };
        let packages: Option<Vec<Package>> = packages.iter().map(parse).collect();
        packages.map(|packages| Self { packages })
    }

    /// Crates of the workspace, each with its place.
    pub(super) fn members(&self) -> impl Iterator<Item = (&Package, &str)> {
        self.packages.iter().filter_map(|package| Some((package, package.place.as_deref()?)))
    }

    /// Names of the workspace's crates.
    pub(crate) fn member_names(&self) -> Vec<String> {
        self.members().map(|(package, _)| package.name.clone()).collect()
    }

    /// Every edge between two members, by place, sorted.
    pub(super) fn edges(&self) -> Vec<(&str, &str)> {
        let places: HashMap<&str, &str> =
            self.members().map(|(package, place)| (package.name.as_str(), place)).collect();
        let mut edges: Vec<_> = self
            .members()
            .flat_map(|(package, from)| {
                let to = package.dependencies.iter().filter_map(|name| places.get(name.as_str()).copied());
                to.filter(move |to| *to != from).map(move |to| (from, to))
            })
            .collect();
        edges.sort_unstable();
        edges
    }
}
