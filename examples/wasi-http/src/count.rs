//! What the component does, apart from the host it runs in.

use std::io::Read;

/// Longest text that is counted, in bytes.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Status and body for a request's method and body.
pub fn answer(is_post: bool, body: impl Read) -> (u16, String) {
    if !is_post {
        return (405, "send the text by POST\n".to_owned());
    }
    let mut text = String::new();
    match body.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text) {
        Err(error) => (400, format!("this is no text: {error}\n")),
        Ok(read) if read as u64 > TEXT_BYTES_MAX => (413, format!("at most {TEXT_BYTES_MAX} bytes are counted\n")),
        Ok(_) => {
            let (lines, words, characters) =
                (text.lines().count(), text.split_whitespace().count(), text.chars().count());
            (200, format!("lines: {lines}\nwords: {words}\ncharacters: {characters}\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn words_are_counted() {
        let (status, text) = answer(true, "one two\nthree ä\n".as_bytes());
        assert_eq!((status, text.as_str()), (200, "lines: 2\nwords: 4\ncharacters: 16\n"));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert_eq!(answer(false, "one".as_bytes()).0, 405);
        assert_eq!(answer(true, [0xff].as_slice()).0, 400);
        assert_eq!(answer(true, std::io::repeat(b'a')).0, 413);
    }
}
