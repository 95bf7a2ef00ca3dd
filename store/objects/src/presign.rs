//! URLs by which somebody without our credentials reads or writes one object.

use crate::open::{Bucket, Kind};
use crate::sigv4::{Request, Signature};
use crate::{Claim, Content, ObjectKey, Objects, ObjectsError};

/// A request that somebody else may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    /// The method.
    pub method: &'static str,
    /// The URL. Who has it may use it: it belongs in no log.
    pub url: String,
    /// Headers that must be sent, exactly so, by name and value.
    pub headers: Vec<(String, String)>,
}

impl Objects {
    /// Lets somebody write one object of this content, for `for_secs` from `now_secs`, in seconds since 1970. Other bytes
    /// are refused by the store, and other sizes, keys and methods too. It is no proof that anything was written:
    /// [`Objects::verify`] it.
    pub async fn presign_put(
        &self,
        key: &ObjectKey,
        content: &Content,
        for_secs: u64,
        now_secs: u64,
    ) -> Result<Presigned, ObjectsError> {
        let mut headers = vec![("content-length".to_owned(), content.size.to_string())];
        let url = match &self.kind {
            Kind::Folder { signer, .. } => {
                signer.sign(&Claim::Put(key.clone(), *content), now_secs.saturating_add(for_secs))
            }
            Kind::S3(bucket) => {
                headers.push(("x-amz-checksum-sha256".to_owned(), base64(content.digest.as_bytes())));
                self.presign_s3(bucket, "PUT", key, &headers, for_secs, now_secs).await?
            }
        };
        Ok(Presigned { method: "PUT", url, headers })
    }

    /// Lets somebody read one object, for `for_secs` from `now_secs`, in seconds since 1970.
    pub async fn presign_get(&self, key: &ObjectKey, for_secs: u64, now_secs: u64) -> Result<Presigned, ObjectsError> {
        let url = match &self.kind {
            Kind::Folder { signer, .. } => signer.sign(&Claim::Get(key.clone()), now_secs.saturating_add(for_secs)),
            Kind::S3(bucket) => self.presign_s3(bucket, "GET", key, &[], for_secs, now_secs).await?,
        };
        Ok(Presigned { method: "GET", url, headers: Vec::new() })
    }

    async fn presign_s3(
        &self,
        bucket: &Bucket,
        method: &str,
        key: &ObjectKey,
        headers: &[(String, String)],
        for_secs: u64,
        now_secs: u64,
    ) -> Result<String, ObjectsError> {
        // Passing credentials are fetched anew when they end, by the library.
        let credential = bucket.credentials.get_credential().await.map_err(ObjectsError::general)?;
        let signature = Signature {
            key_id: &credential.key_id,
            secret: &credential.secret_key,
            session: credential.token.as_deref(),
            region: &bucket.region,
        };
        let url = format!("{}/{}", bucket.public_url, self.whole_path(key.as_str()));
        Ok(signature.presign(&Request { method, url: &url, headers, now_secs, for_secs }))
    }
}

/// Base 64 as RFC 4648 §4 has it, for the 32 bytes of a digest.
fn base64(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(44);
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            if at <= group.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ignite_core_model::Digest;

    #[test]
    fn a_digest_in_base_64() {
        // `printf abc | openssl dgst -sha256 -binary | base64`
        assert_eq!(base64(Digest::of(b"abc").as_bytes()), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(base64(&[0xff; 32]), "//////////////////////////////////////////8=");
    }
}
