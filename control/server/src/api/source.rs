//! Source code on its way to the object store.

use bytes::Bytes;
use connectrpc::ConnectError;
use ignite_core_model::{CodeSource, CompileSource, FunctionId, OrganizationId};
use ignite_core_proto::check::runtime_of;
use ignite_core_proto::v1;
use ignite_core_proto::v1::__buffa::oneof::{code_source::Source, compile_source::Code};
use ignite_store_objects::{Content, ObjectKey, ObjectsError};

use super::{Platform, errors};
use crate::Attached;

/// Longest source inside a request, in bytes; a longer one is uploaded first.
pub(crate) const INLINE_BYTES_MAX: usize = 4 << 20;

/// Stores the code of a request, and tells what it is and what is to be noted with it.
pub(crate) async fn store(
    platform: &Platform,
    app: &FunctionId,
    code: Option<&v1::CodeSource>,
) -> Result<(CodeSource, Attached), ConnectError> {
    let Some(Source::Compile(compile)) = code.and_then(|code| code.source.as_ref()) else {
        return Err(errors::field("code", "is absent: send `code.compile` with an archive of the source"));
    };
    let (content, attached) = match &compile.code {
        None => return Err(errors::field("code.compile", "has neither `source_code` nor `upload_key`")),
        Some(Code::SourceCode(bytes)) if bytes.is_empty() => {
            return Err(errors::field("code.compile.source_code", "is empty"));
        }
        Some(Code::SourceCode(bytes)) if bytes.len() > INLINE_BYTES_MAX => {
            let clause = format!("has {} bytes, more than {INLINE_BYTES_MAX}: use an upload", bytes.len());
            return Err(errors::field("code.compile.source_code", &clause));
        }
        Some(Code::SourceCode(bytes)) => {
            let content = Content::of(bytes);
            let key = ObjectKey::source(&content.digest);
            if !platform.objects.has(&key).await.map_err(errors::objects)? {
                platform
                    .objects
                    .put_bytes(&key, Bytes::from(bytes.clone()), &content)
                    .await
                    .map_err(errors::objects)?;
            }
            (content, Attached::default())
        }
        Some(Code::UploadKey(upload)) => {
            let stored = platform.meta().load_upload(upload, &app.organization()).await.map_err(errors::meta)?;
            if stored.app.as_ref().is_some_and(|bound| bound != app) {
                return Err(errors::field("code.compile.upload_key", "belongs to another app"));
            }
            let content = Content { size: stored.size, digest: stored.digest };
            let key = ObjectKey::source(&content.digest);
            let uploaded: ObjectKey =
                upload.parse().map_err(|_| errors::field("code.compile.upload_key", "is no key"))?;
            if !is_own(platform, &app.organization(), &content).await? {
                platform.objects.verify(&uploaded, &content).await.map_err(errors::objects)?;
                platform.objects.copy(&uploaded, &key).await.map_err(errors::objects)?;
            }
            (content, Attached { uploads_used: vec![upload.clone()], ..Attached::default() })
        }
    };
    let (runtime, target, artifact_kind) = runtime_of(compile.runtime.as_option());
    let source = CompileSource { archive: content.digest, archive_bytes: content.size, runtime, target, artifact_kind };
    let uses_added = vec![ObjectKey::source(&content.digest).as_str().to_owned()];
    Ok((CodeSource::Compile(source), Attached { uses_added, ..attached }))
}

/// Whether the organisation has handed in this very source before and it is still there, so that it need not be sent again. What
/// others have stored does not count: a digest is no right to the bytes, and nobody learns that others have them.
pub(crate) async fn is_own(
    platform: &Platform,
    organization: &OrganizationId,
    content: &Content,
) -> Result<bool, ConnectError> {
    let key = ObjectKey::source(&content.digest);
    if !platform.meta().is_object_used_by(key.as_str(), organization).await.map_err(errors::meta)? {
        return Ok(false);
    }
    match platform.objects.size(&key).await {
        Ok(size) => Ok(size == content.size),
        Err(ObjectsError::Missing(_)) => Ok(false),
        Err(error) => Err(errors::objects(error)),
    }
}
