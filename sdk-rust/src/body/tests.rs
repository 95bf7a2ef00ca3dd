#![allow(clippy::unwrap_used, reason = "a test")]

use serde::Deserialize;

use super::{read, read_field};

#[derive(Debug, Deserialize, PartialEq)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Item {
    price: f64,
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, super::BodyError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[test]
fn a_fault_is_named_by_path_and_line() {
    refused(
        read::<Order>(b"{\"customer\": \"a\",\n \"items\": [{\"price\": 1}, {\"price\": \"x\"}]}"),
        "the request body does not fit: `items[1].price`: invalid type: string \"x\", expected f64 at line 2 column 38",
    );
    refused(
        read::<Order>(b"{\"customer\": \"a\", \"items\": [{}]}"),
        "the request body does not fit: `items[0]`: missing field `price` at line 1 column 30",
    );
    refused(read::<Order>(b"{}"), "the request body does not fit: missing field `customer` at line 1 column 2");
    refused(read::<Order>(b"{\"customer\" 1}"), "the request body is not JSON: expected `:` at line 1 column 13");
    refused(read::<Order>(b" \n"), "the request body is empty, JSON was expected");
    refused(read::<Order>(b"\xff"), "the request body is not JSON: expected value at line 1 column 1");
}

#[test]
fn one_field_is_read_and_the_rest_passed_over() {
    let body = br#"{"skip": [1, {"name": "no"}], "name": "yes", "name": "later", "n\u0061ive": null, "text": "b\"}"}"#;
    assert_eq!(read_field::<&str>(body, "name").unwrap(), "yes");
    assert_eq!(read_field::<String>(body, "text").unwrap(), "b\"}");
    assert_eq!(read_field::<Option<u8>>(body, "naive").unwrap(), None);
    assert_eq!(read_field::<Option<u8>>(body, "absent").unwrap(), None);
    refused(
        read_field::<u8>(body, "absent"),
        "the request body does not fit: missing field `absent` at line 1 column 97",
    );
    refused(
        read_field::<u8>(body, "name"),
        "the request body does not fit: `name`: invalid type: string \"yes\", expected u8 at line 1 column 43",
    );
    refused(
        read_field::<u8>(b"[1]", "name"),
        "the request body does not fit: invalid type: sequence, expected an object with the field `name` at line 1 column 0",
    );
    refused(
        read_field::<u8>(b"{\"a\": 1} x", "a"),
        "the request body is not JSON: trailing characters at line 1 column 10",
    );
}
