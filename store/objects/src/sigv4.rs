//! Presigned S3 requests: AWS Signature Version 4 in the query, with headers bound in.
//!
//! The library has a signer of its own, which will not bind the length of the body; then a server would have to read what
//! is too large before it can refuse it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use ignite_core_model::{Digest, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

/// Who signs.
pub(crate) struct Signature<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) session: Option<&'a str>,
    pub(crate) region: &'a str,
}

/// What is signed.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Scheme and host, with the port unless it is the scheme's own, and a path of unreserved characters.
    pub(crate) url: &'a str,
    /// Header names in lower case, in order, with their values.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) now_secs: u64,
    pub(crate) for_secs: u64,
}

/// All that RFC 3986 §2.3 does not call unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Signature<'_> {
    /// The request's URL with its signature.
    pub(crate) fn presign(&self, request: &Request<'_>) -> String {
        let (host, path) = split(request.url);
        let mut headers: Vec<(&str, &str)> = vec![("host", host)];
        headers.extend(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        headers.sort_unstable();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");

        let (day, time) = timestamp(request.now_secs);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let credential = escape(&format!("{}/{scope}", self.key_id));
        // In the order of their names, as the signature has it.
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={day}T{time}Z&X-Amz-Expires={}",
            request.for_secs
        );
        if let Some(session) = self.session {
            query += &format!("&X-Amz-Security-Token={}", escape(session));
        }
        query += &format!("&X-Amz-SignedHeaders={}", escape(&names));

        let listed: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical = format!("{}\n{path}\n{query}\n{listed}\n{names}\nUNSIGNED-PAYLOAD", request.method);
        let hash = Digest::of(canonical.as_bytes()).to_hex();
        let to_sign = format!("AWS4-HMAC-SHA256\n{day}T{time}Z\n{scope}\n{hash}");
        let signature = hex(mac(self.key(&day).reveal(), &to_sign));
        format!("{}?{query}&X-Amz-Signature={signature}", request.url)
    }

    fn key(&self, day: &str) -> Secret<[u8; 32]> {
        let first = Secret::new(format!("AWS4{}", self.secret).into_bytes());
        let mut key = Secret::new(mac(first.reveal(), day));
        for word in [self.region, "s3", "aws4_request"] {
            key = Secret::new(mac(key.reveal(), word));
        }
        key
    }
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hex(bytes: [u8; 32]) -> String {
    Digest::from_bytes(bytes).to_hex()
}

/// Host and path of a URL.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or((rest, "/"), |at| rest.split_at(at))
}

/// `20130524` and `000000` of a moment, in UTC.
fn timestamp(unix_secs: u64) -> (String, String) {
    let (days, seconds) = (unix_secs / 86_400, unix_secs % 86_400);
    // Howard Hinnant's `civil_from_days`, for days since 1970-01-01: years begin in March, so that leap days end them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    (format!("{year:04}{month:02}{day:02}"), format!("{hour:02}{minute:02}{second:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS' manual, "Authenticating Requests: Using Query Parameters".
    #[test]
    fn the_manuals_example_is_signed_alike() {
        let signature = Signature {
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session: None,
            region: "us-east-1",
        };
        let url = signature.presign(&Request {
            method: "GET",
            url: "https://examplebucket.s3.amazonaws.com/test.txt",
            headers: &[],
            now_secs: 1_369_353_600,
            for_secs: 86_400,
        });
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&\
             X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&\
             X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&\
             X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn moments_are_written_as_days_and_times() {
        for (unix_secs, expected) in [
            (0, "19700101 000000"),
            (951_782_399, "20000228 235959"),
            (951_782_400, "20000229 000000"),
            (951_868_800, "20000301 000000"),
            (1_716_900_061, "20240528 124101"),
            (4_107_542_400, "21000301 000000"),
        ] {
            let (day, time) = timestamp(unix_secs);
            assert_eq!(format!("{day} {time}"), expected);
        }
    }
}
