//! `TokenService`.

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult};
use ignite_core_model::{OrganizationId, TokenId};
use ignite_core_proto::{Checker, v1};
use ignite_store_meta::Token;

use super::compute::unary;
use super::door::{self, ADMIN_SCOPE, ALL_SCOPES, is_scope};
use super::{Api, Caller, Platform, errors, show};

/// Longest life of a token, in seconds: ten years.
const EXPIRES_SECS_MAX: i64 = 10 * 365 * 24 * 3600;

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 200;

/// Most scopes of a token.
const SCOPES_MAX: usize = 100;

#[allow(refining_impl_trait, reason = "the services answer with whole messages")]
impl v1::TokenService for Api {
    unary! {
        create_token(CreateTokenRequest) -> CreateTokenResponse = create;
        list_tokens(ListTokensRequest) -> ListTokensResponse = list;
        revoke_token(RevokeTokenRequest) -> RevokeTokenResponse = revoke;
    }
}

async fn create(
    platform: &Platform,
    caller: &Caller,
    request: v1::CreateTokenRequest,
) -> Result<v1::CreateTokenResponse, ConnectError> {
    let mut checker = Checker::default();
    if request.scopes.is_empty() || request.scopes.len() > SCOPES_MAX {
        checker.fault("scopes", format_args!("has {} entries: name 1 to {SCOPES_MAX}", request.scopes.len()));
    }
    for scope in &request.scopes {
        if !is_scope(scope) {
            checker.fault("scopes", format_args!("has `{scope}`, which is no method of the API, `*` or `admin`"));
        }
    }
    if request.note.len() > NOTE_BYTES_MAX {
        checker.fault("note", format_args!("is longer than {NOTE_BYTES_MAX} bytes"));
    }
    if !(0..=EXPIRES_SECS_MAX).contains(&request.expires_in_secs) {
        checker.fault("expires_in_secs", format_args!("must be from 0 to {EXPIRES_SECS_MAX}"));
    }
    let organization: Option<OrganizationId> = match request.organization.as_str() {
        "" => Some(caller.organization.clone()),
        text => text.parse().map_err(|error| checker.fault("organization", format_args!("is not valid: {error}"))).ok(),
    };
    let organization = checker.finish(organization).map_err(|faults| errors::fields(&faults))?;
    if organization != caller.organization && !caller.allows(ADMIN_SCOPE) {
        return Err(ConnectError::permission_denied("a token of another organisation takes the scope `admin`"));
    }
    // Nobody hands on what they do not have. `*` is every method, and not the right to make organisations.
    for scope in &request.scopes {
        let may = caller.allows(scope) || (scope == ALL_SCOPES && caller.allows(ADMIN_SCOPE));
        if !may {
            return Err(ConnectError::permission_denied(format!("the token does not have the scope `{scope}` itself")));
        }
    }
    let now_ms = platform.now_ms();
    platform.meta().create_organization(&organization, now_ms).await.map_err(errors::meta)?;
    let lifetime_ms = u64::try_from(request.expires_in_secs).unwrap_or_default() * 1000;
    let (secret, hash) = door::new_secret();
    let token = Token {
        id: platform.apps.clock().token_id(),
        organization,
        hash,
        scopes: request.scopes,
        note: request.note,
        created_ms: now_ms,
        expires_ms: (lifetime_ms > 0).then(|| now_ms + lifetime_ms),
        revoked_ms: None,
    };
    platform.meta().create_token(&token).await.map_err(errors::meta)?;
    Ok(v1::CreateTokenResponse { token: buffa::MessageField::some(shown(&token)), secret, ..Default::default() })
}

async fn list(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListTokensRequest,
) -> Result<v1::ListTokensResponse, ConnectError> {
    let mut checker = Checker::default();
    let limit = checker.limit("limit", request.limit);
    let after: Option<TokenId> = match request.cursor.as_str() {
        "" => None,
        cursor => cursor.parse().map_err(|_| checker.fault("cursor", "is none that a page ended with")).ok(),
    };
    let after = checker.finish(Some(after)).map_err(|faults| errors::fields(&faults))?;
    let tokens = platform.meta().list_tokens(&caller.organization, after, limit).await.map_err(errors::meta)?;
    let full = tokens.len() == limit as usize;
    let next_cursor = tokens.last().filter(|_| full).map_or_else(String::new, |last| last.id.to_string());
    Ok(v1::ListTokensResponse { tokens: tokens.iter().map(shown).collect(), next_cursor, ..Default::default() })
}

async fn revoke(
    platform: &Platform,
    caller: &Caller,
    request: v1::RevokeTokenRequest,
) -> Result<v1::RevokeTokenResponse, ConnectError> {
    let id: TokenId = request.id.parse().map_err(|error| errors::field("id", &format!("is not valid: {error}")))?;
    platform.meta().revoke_token(&caller.organization, id, platform.now_ms()).await.map_err(errors::meta)?;
    Ok(v1::RevokeTokenResponse::default())
}

fn shown(token: &Token) -> v1::TokenMetadata {
    v1::TokenMetadata {
        id: token.id.to_string(),
        scopes: token.scopes.clone(),
        note: token.note.clone(),
        created_at_ms: show::ms(token.created_ms),
        expires_at_ms: token.expires_ms.map_or(0, show::ms),
        revoked_at_ms: token.revoked_ms.map_or(0, show::ms),
        organization: token.organization.to_string(),
        ..Default::default()
    }
}
