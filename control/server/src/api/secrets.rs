//! `SecretService`: secrets of an organisation, sealed at rest and never read back.

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult};
use ignite_core_model::{Credential, Secret, SecretName};
use ignite_core_proto::v1::__buffa::oneof::create_secret_request::Value;
use ignite_core_proto::{Checker, v1};
use ignite_store_meta::{MetaError, SecretMetadata};

use super::compute::unary;
use super::{Api, Caller, Platform, errors, show};

/// Longest text of a secret, in bytes: as long as a variable may be.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// Most secrets of an organisation.
const SECRETS_MAX: u32 = 1000;

#[allow(refining_impl_trait, reason = "the services answer with whole messages")]
impl v1::SecretService for Api {
    unary! {
        create_secret(CreateSecretRequest) -> CreateSecretResponse = create;
        list_secrets(ListSecretsRequest) -> ListSecretsResponse = list;
        delete_secret(DeleteSecretRequest) -> DeleteSecretResponse = delete;
    }
}

async fn create(
    platform: &Platform,
    caller: &Caller,
    request: v1::CreateSecretRequest,
) -> Result<v1::CreateSecretResponse, ConnectError> {
    let mut checker = Checker::default();
    let name = name(&mut checker, &request.name);
    let credential = credential(&mut checker, request.value);
    let checked = checker.finish(name.zip(credential)).map_err(|faults| errors::fields(&faults))?;
    let (name, credential) = (checked.0, checked.1);
    let (meta, organization) = (platform.meta(), &caller.organization);
    if meta.find_secret(organization, name.as_str()).await.map_err(errors::meta)?.is_none() {
        let have = meta.list_secrets(organization, "", SECRETS_MAX).await.map_err(errors::meta)?;
        if have.len() >= SECRETS_MAX as usize {
            let why = format!("the organisation has {SECRETS_MAX} secrets, which is the most: delete one");
            return Err(ConnectError::resource_exhausted(why));
        }
    }
    let sealed = platform.keys.seal(organization, name.as_str(), &credential.to_bytes());
    let sealed = sealed.map_err(|error| errors::internal(&error))?;
    let now_ms = platform.now_ms();
    meta.put_secret(organization, name.as_str(), credential.kind(), &sealed, now_ms).await.map_err(errors::meta)?;
    let made = meta.find_secret(organization, name.as_str()).await.map_err(errors::meta)?;
    let secret = made.as_ref().map_or_else(buffa::MessageField::none, |made| buffa::MessageField::some(shown(made)));
    Ok(v1::CreateSecretResponse { secret, ..Default::default() })
}

async fn list(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListSecretsRequest,
) -> Result<v1::ListSecretsResponse, ConnectError> {
    let mut checker = Checker::default();
    let limit = checker.limit("limit", request.limit);
    let after = match request.cursor.as_str() {
        "" => Some(String::new()),
        cursor => match cursor.parse::<SecretName>() {
            Ok(name) => Some(name.as_str().to_owned()),
            Err(_) => {
                checker.fault("cursor", "is none that a page ended with");
                None
            }
        },
    };
    let after = checker.finish(after).map_err(|faults| errors::fields(&faults))?;
    let secrets = platform.meta().list_secrets(&caller.organization, &after, limit).await.map_err(errors::meta)?;
    let full = secrets.len() == limit as usize;
    let next_cursor = secrets.last().filter(|_| full).map_or_else(String::new, |last| last.name.clone());
    Ok(v1::ListSecretsResponse { secrets: secrets.iter().map(shown).collect(), next_cursor, ..Default::default() })
}

async fn delete(
    platform: &Platform,
    caller: &Caller,
    request: v1::DeleteSecretRequest,
) -> Result<v1::DeleteSecretResponse, ConnectError> {
    let mut checker = Checker::default();
    let name = name(&mut checker, &request.name);
    let name = checker.finish(name).map_err(|faults| errors::fields(&faults))?;
    match platform.meta().delete_secret(&caller.organization, name.as_str()).await {
        // Deleting twice is no error.
        Ok(()) | Err(MetaError::Missing { .. }) => Ok(v1::DeleteSecretResponse::default()),
        Err(error) => Err(errors::meta(error)),
    }
}

fn name(checker: &mut Checker, text: &str) -> Option<SecretName> {
    text.parse().map_err(|error| checker.fault("name", format_args!("is not valid: {error}"))).ok()
}

fn credential(checker: &mut Checker, value: Option<Value>) -> Option<Credential> {
    let mut text = |field: &str, text: String, empty: bool| {
        if text.is_empty() && !empty {
            checker.fault(field, "is empty");
        } else if text.len() > TEXT_BYTES_MAX {
            checker.fault(field, format_args!("is longer than {TEXT_BYTES_MAX} bytes"));
        } else if text.contains('\0') {
            checker.fault(field, "has a NUL character");
        }
        text
    };
    Some(match value {
        Some(Value::ValueSecret(secret)) => {
            Credential::Value(Secret::new(text("value_secret.value", secret.value, false)))
        }
        Some(Value::GitSecret(secret)) => Credential::Git {
            username: text("git_secret.username", secret.username, true),
            token: Secret::new(text("git_secret.token", secret.token, false)),
        },
        Some(Value::RegistrySecret(secret)) => Credential::Registry {
            username: text("registry_secret.username", secret.username, false),
            password: Secret::new(text("registry_secret.password", secret.password, false)),
            server_address: text("registry_secret.server_address", secret.server_address, true),
        },
        None => {
            checker.fault("value", "is missing: give `value_secret`, `git_secret` or `registry_secret`");
            return None;
        }
    })
}

fn shown(secret: &SecretMetadata) -> v1::SecretMetadata {
    v1::SecretMetadata {
        name: secret.name.clone(),
        r#type: secret.kind.clone(),
        created_at_ms: show::ms(secret.created_ms),
        updated_at_ms: show::ms(secret.updated_ms),
        ..Default::default()
    }
}
