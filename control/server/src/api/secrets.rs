//! `SecretService`: credentials of an organisation, sealed at rest and never read back.

use connectrpc::{ConnectError, RequestContext, ServiceRequest, ServiceResult};
use ignite_core_proto::v1;

use super::Api;

#[allow(refining_impl_trait, reason = "the services answer with whole messages")]
impl v1::SecretService for Api {
    async fn create_secret(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, v1::CreateSecretRequest>,
    ) -> ServiceResult<v1::CreateSecretResponse> {
        Err(not_served())
    }

    async fn list_secrets(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, v1::ListSecretsRequest>,
    ) -> ServiceResult<v1::ListSecretsResponse> {
        Err(not_served())
    }

    async fn delete_secret(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, v1::DeleteSecretRequest>,
    ) -> ServiceResult<v1::DeleteSecretResponse> {
        Err(not_served())
    }
}

fn not_served() -> ConnectError {
    ConnectError::unimplemented("this release keeps no secrets: they come with images")
}
