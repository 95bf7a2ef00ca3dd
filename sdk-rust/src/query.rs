//! Reads a query string as forms write it: `key=value` joined by `&`, `+` for a space, `%XX` for a byte.

use std::borrow::Cow;

/// Each key and value of `query`, decoded, in the order they stand. What is not UTF-8 after decoding is replaced.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(key), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => decoded.push(b' '),
            (b'%', &[high, low, ref after @ ..]) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                // A lone `%` stands for itself, as browsers read it.
                _ => decoded.push(b'%'),
            },
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(
        String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::pairs;

    #[test]
    fn queries_are_decoded_as_forms_write_them() {
        let read = |query| pairs(query).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("|");
        assert_eq!(read(""), "");
        assert_eq!(read("a=1&b=%20+x&a=2"), "a=1|b=  x|a=2");
        assert_eq!(read("gr%C3%BC%C3%9Fe=%e2%82%AC"), "grüße=€");
        assert_eq!(read("flag&&=v&x=a=b"), "flag=|=v|x=a=b");
        assert_eq!(read("p=100%&q=%zz&r=%4"), "p=100%|q=%zz|r=%4");
        assert_eq!(read("bad=%ff!"), "bad=\u{fffd}!");
    }
}
