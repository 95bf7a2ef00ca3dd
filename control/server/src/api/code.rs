//! The source of a version, as it was saved.

use std::sync::Arc;

use connectrpc::{ConnectError, ServiceStream};
use futures_util::StreamExt as _;
use ignite_core_model::CodeSource;
use ignite_core_proto::v1;
use ignite_store_objects::ObjectKey;

use super::{Caller, Platform, apps, errors, show, versions};

/// Streams the archive.
pub(crate) async fn stream(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::GetAppCodeRequest,
) -> Result<ServiceStream<v1::GetAppCodeResponse>, ConnectError> {
    let app = apps::load(&platform, caller, &request.app_id).await?;
    let source = match request.version {
        0 => app.draft.map(|draft| draft.source).ok_or_else(|| ConnectError::not_found("the app has no draft"))?,
        number => versions::load(&platform, &app.id, number).await?.source,
    };
    let CodeSource::Compile(source) = source else {
        return Err(ConnectError::failed_precondition("this version has no source here: it is an image"));
    };
    let object = platform.objects.get(&ObjectKey::source(&source.archive), None).await.map_err(errors::objects)?;
    let head = v1::GetAppCodeResponse {
        code_hash: source.archive.to_string(),
        total_bytes: show::ms(object.size),
        ..Default::default()
    };
    let chunks = object.body.map(|chunk| match chunk {
        Ok(chunk) => Ok(v1::GetAppCodeResponse { chunk: chunk.to_vec(), ..Default::default() }),
        Err(error) => Err(errors::internal(&error)),
    });
    Ok(Box::pin(futures_util::stream::once(async { Ok(head) }).chain(chunks)))
}
