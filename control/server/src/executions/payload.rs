//! What goes in and comes out: small ones in the record, larger ones as objects.

use bytes::Bytes;
use ignite_core_model::ExecutionId;
use ignite_store_meta::{INLINE_BYTES_MAX, Payload};
use ignite_store_objects::{Content, ObjectKey, ObjectsError};

use super::Executions;

/// What the keys of payloads begin with.
pub(crate) const PAYLOADS_PREFIX: &str = "executions";

/// The key of a payload: which execution it belongs to, and when it was made, by which what belongs to nobody is swept.
fn key(id: ExecutionId, what: &str, now_ms: u64) -> ObjectKey {
    format!("{PAYLOADS_PREFIX}/{id}/{now_ms}.{what}").parse().expect("an id, a number and a word make a key")
}

/// Execution and time in the key of a payload.
pub(crate) fn parse_key(key: &ObjectKey) -> Option<(ExecutionId, u64)> {
    let mut segments = key.as_str().split('/').skip(1);
    let id = segments.next()?.parse().ok()?;
    let made_ms = segments.next()?.split('.').next()?.parse().ok()?;
    Some((id, made_ms))
}

impl Executions {
    /// Keeps bytes for an execution. Each call has a key of its own, so that a late attempt overwrites nothing.
    pub(crate) async fn keep(
        &self,
        id: ExecutionId,
        what: &str,
        now_ms: u64,
        bytes: Bytes,
    ) -> Result<Payload, ObjectsError> {
        if bytes.is_empty() {
            return Ok(Payload::None);
        }
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Payload::Inline(bytes.to_vec()));
        }
        let key = key(id, what, now_ms);
        let content = Content::of(&bytes);
        self.objects.put_bytes(&key, bytes, &content).await?;
        Ok(Payload::Object(key.to_string()))
    }

    /// The bytes of a payload.
    ///
    /// # Errors
    /// Of the object store.
    pub async fn read(&self, payload: &Payload) -> Result<Bytes, ObjectsError> {
        match payload {
            Payload::None => Ok(Bytes::new()),
            Payload::Inline(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Payload::Object(text) => {
                let key: ObjectKey = text.parse().map_err(|error| ObjectsError::Other(Box::new(error)))?;
                self.objects.get_bytes(&key, self.limits.result_bytes_max as u64).await
            }
        }
    }

    /// Takes back bytes that nothing refers to. What cannot be deleted now is swept later.
    pub(crate) async fn drop_payload(&self, payload: &Payload) {
        if let Payload::Object(text) = payload
            && let Ok(key) = text.parse()
            && let Err(error) = self.objects.delete(&key).await
        {
            tracing::debug!(key = text, error = &error as &dyn std::error::Error, "a payload stays until it is swept");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_key_tells_whose_it_is() {
        let id = ExecutionId::from_parts(5, 7);
        assert_eq!(parse_key(&key(id, "output-3", 42)), Some((id, 42)));
        assert_eq!(parse_key(&"executions/else/what".parse().unwrap()), None);
    }
}
