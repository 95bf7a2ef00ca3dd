//! Uploads: a place for bytes that are too many for a request.

use connectrpc::ConnectError;
use ignite_core_model::Digest;
use ignite_core_proto::v1;
use ignite_store_meta::Upload;
use ignite_store_objects::{Content, ObjectKey};

use super::{Caller, Platform, errors, show, source};

/// Largest upload, in bytes.
const UPLOAD_BYTES_MAX: i64 = 256 << 20;

/// How long an upload may take, in seconds.
const UPLOAD_SECS: u64 = 3_600;

pub(crate) async fn create(
    platform: &Platform,
    caller: &Caller,
    request: v1::CreateUploadRequest,
) -> Result<v1::CreateUploadResponse, ConnectError> {
    let app = platform.app_id(&request.app_id, &caller.organization)?;
    let size = match u64::try_from(request.size_bytes) {
        Ok(size) if size > 0 && request.size_bytes <= UPLOAD_BYTES_MAX => size,
        _ => return Err(errors::field("size_bytes", &format!("must be from 1 to {UPLOAD_BYTES_MAX}"))),
    };
    let digest: Digest =
        request.sha256.parse().map_err(|error| errors::field("sha256", &format!("is not valid: {error}")))?;
    let content = Content { size, digest };
    // A key nobody else can know or write to; what is put there is copied to its content's own key when it is used.
    let random = platform.apps.clock().job_id();
    let text = format!("uploads/{}/{random}", caller.organization);
    let key: ObjectKey = text.parse().map_err(|error| errors::internal(&error))?;
    let now_ms = platform.now_ms();
    let expires_ms = now_ms + UPLOAD_SECS * 1000;
    let upload = Upload {
        object: key.as_str().to_owned(),
        organization: caller.organization.clone(),
        app: Some(app),
        size,
        digest,
        expires_ms,
        used_ms: None,
    };
    platform.meta().create_upload(&upload).await.map_err(errors::meta)?;
    let mut answer = v1::CreateUploadResponse {
        upload_key: upload.object,
        expires_at_ms: show::ms(expires_ms),
        ..Default::default()
    };
    if !source::is_own(platform, &caller.organization, &content).await? {
        let put =
            platform.objects.presign_put(&key, &content, UPLOAD_SECS, now_ms / 1000).await.map_err(errors::objects)?;
        answer.url = put.url;
        answer.headers = put.headers.into_iter().collect();
    }
    Ok(answer)
}
