//! Secrets that variables of apps refer to. They are opened when an instance starts, and are nowhere else than in its host.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ignite_core_model::{Credential, InstanceSpec, OrganizationId, Secret, SecretName, SecretReference};
use ignite_store_meta::seal::Keyring;
use ignite_store_meta::{Meta, MetaError};

/// Longest time to read the secrets of one app.
const READ_MAX: Duration = Duration::from_secs(10);

/// Where secrets are had.
pub trait Secrets: Send + Sync + 'static {
    /// A secret of an organisation, or why it cannot be had, for the author.
    fn load<'a>(&'a self, organization: &'a OrganizationId, name: &'a SecretName) -> LoadSecret<'a>;
}

/// A secret that is being loaded.
pub type LoadSecret<'a> = Pin<Box<dyn Future<Output = Result<Credential, String>> + Send + 'a>>;

/// The secrets in the store, sealed by a keyring.
pub struct SealedSecrets {
    meta: Meta,
    keys: Keyring,
}

impl SealedSecrets {
    /// Those of `meta`, which `keys` open.
    #[must_use]
    pub fn new(meta: Meta, keys: Keyring) -> Self {
        Self { meta, keys }
    }
}

impl Secrets for SealedSecrets {
    fn load<'a>(&'a self, organization: &'a OrganizationId, name: &'a SecretName) -> LoadSecret<'a> {
        Box::pin(async move {
            let sealed = self.meta.load_sealed(organization, name.as_str()).await.map_err(|error| match error {
                MetaError::Missing { .. } => format!("there is no secret `{name}`: `ignite secret create {name}` makes it"),
                error => {
                    tracing::error!(%organization, %name, error = &error as &dyn std::error::Error, "a secret cannot be read");
                    format!("the secret `{name}` cannot be read now")
                }
            })?;
            let opened = self.keys.open(organization, name.as_str(), &sealed).map_err(|error| {
                tracing::error!(%organization, %name, error = &error as &dyn std::error::Error, "a secret cannot be opened");
                format!("the secret `{name}` cannot be opened: set it again")
            })?;
            Credential::from_bytes(&opened).map_err(|error| format!("the secret `{name}` cannot be used: {error}"))
        })
    }
}

/// The variables of an app, with secrets in place of what refers to them. All that is at fault is told.
pub(super) async fn resolve(secrets: &dyn Secrets, spec: &InstanceSpec) -> Result<Variables, String> {
    let resolving = tokio::time::timeout(READ_MAX, resolve_all(secrets, spec));
    resolving.await.unwrap_or_else(|_| Err(format!("secrets could not be read within {} s", READ_MAX.as_secs())))
}

/// Variables as an app gets them.
pub(super) type Variables = BTreeMap<String, Secret<String>>;

async fn resolve_all(secrets: &dyn Secrets, spec: &InstanceSpec) -> Result<Variables, String> {
    let organization = spec.app.organization();
    let mut loaded: BTreeMap<SecretName, Result<Credential, String>> = BTreeMap::new();
    let (mut variables, mut faults) = (BTreeMap::new(), Vec::new());
    for (variable, value) in &spec.settings.env.0 {
        let text = match SecretReference::find(value) {
            Ok(None) => Ok(value.clone()),
            Err(error) => Err(error.to_string()),
            Ok(Some(reference)) => {
                if !loaded.contains_key(&reference.name) {
                    let credential = secrets.load(&organization, &reference.name).await;
                    loaded.insert(reference.name.clone(), credential);
                }
                match &loaded[&reference.name] {
                    Ok(credential) => {
                        credential.part(reference.part).map(str::to_owned).ok_or_else(|| credential.lacks(&reference))
                    }
                    Err(reason) => Err(reason.clone()),
                }
            }
        };
        match text {
            Ok(text) => drop(variables.insert(variable.clone(), Secret::new(text))),
            Err(reason) => faults.push(format!("the variable `{variable}` has no value: {reason}")),
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults.join("\n")) }
}
