//! The trace a request belongs to (W3C Trace Context, §3.2).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// The header that carries it.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The id of a span, a part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// An id made of `random`.
    #[must_use]
    pub fn of(random: u64) -> Self {
        Self(NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a request says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that the request was sent in.
    pub span: SpanId,
    /// Whether whoever began the trace wants it kept.
    pub sampled: bool,
}

impl TraceContext {
    /// A new trace, which is kept, made of `random` numbers.
    #[must_use]
    pub fn begin(trace: u128, span: u64) -> Self {
        let trace = TraceId(NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN));
        Self { trace, span: SpanId::of(span), sampled: true }
    }

    /// The same trace, in a span of its own made of `random`.
    #[must_use]
    pub fn child(self, random: u64) -> Self {
        Self { span: SpanId::of(random), ..self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// A text is not what the header carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct NoTrace;

impl FromStr for TraceContext {
    type Err = NoTrace;

    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let hex = |text: &str, length: usize| {
            let fits = text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            fits.then(|| u128::from_str_radix(text, 16).ok()).flatten().ok_or(NoTrace)
        };
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NoTrace);
        let version = hex(next()?, 2)?;
        let (trace, span) = (hex(next()?, 32)?, hex(next()?, 16)?);
        let flags = hex(next()?, 2)?;
        // A later version may say more behind it; this one may not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(NoTrace);
        }
        let span = u64::try_from(span).ok().and_then(NonZeroU64::new).ok_or(NoTrace)?;
        Ok(Self {
            trace: TraceId(NonZeroU128::new(trace).ok_or(NoTrace)?),
            span: SpanId(span),
            sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context: TraceContext = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let child = context.child(1);
        assert_eq!(child.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
        // What a later version says beyond this one is not passed on.
        let later: TraceContext = text.replacen("00-", "cc-", 1).parse::<TraceContext>().unwrap();
        assert_eq!(later, format!("cc{}-more", &text[2..]).parse().unwrap());
        assert!(!text.replace("-01", "-00").parse::<TraceContext>().unwrap().sampled);
    }

    #[test]
    fn what_is_none_is_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replacen("00-", "ff-", 1),
            &format!("{good}-more"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good.replace("-01", "-1"),
            &good.replace("b7ad", "+7ad"),
            &good[..good.len() - 3],
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NoTrace), "{bad}");
        }
    }
}
