//! Reads a request body as JSON, and says where it is wrong.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::place::place_of;

/// Why a request body is not what the handler asked for. A handler that passes it on with `?` answers 400.
#[derive(Debug)]
pub struct BodyError {
    /// Where in the document the fault is, as in `items[2].price`; empty where it is the document itself.
    path: String,
    /// What is wrong; nothing where the body is empty.
    cause: Option<serde_json::Error>,
}

impl BodyError {
    /// Where in the document the fault is, as in `items[2].price`; empty where it is the document as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line of the body in which the fault is, from 1; 0 where the body has none.
    #[must_use]
    pub fn line(&self) -> usize {
        self.cause.as_ref().map_or(0, serde_json::Error::line)
    }

    /// The column in that line, in bytes from 1; 0 where it is not known.
    #[must_use]
    pub fn column(&self) -> usize {
        self.cause.as_ref().map_or(0, serde_json::Error::column)
    }

    fn new(body: &[u8], cause: serde_json::Error) -> Self {
        if body.trim_ascii().is_empty() {
            return Self { path: String::new(), cause: None };
        }
        Self { path: place_of(body, cause.line(), cause.column()), cause: Some(cause) }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cause) = &self.cause else { return f.write_str("the request body is empty, JSON was expected") };
        let fault = if cause.is_data() { "does not fit" } else { "is not JSON" };
        match self.path.as_str() {
            "" => write!(f, "the request body {fault}: {cause}"),
            path => write!(f, "the request body {fault}: `{path}`: {cause}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// The whole body as a `T`.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|cause| BodyError::new(body, cause))
}

/// The field `key` of the JSON object in `body` as a `T`.
pub(crate) fn read_field<'a, T: Deserialize<'a>>(body: &'a [u8], key: &str) -> Result<T, BodyError> {
    let mut document = serde_json::Deserializer::from_slice(body);
    let found = (&mut document).deserialize_map(Field { key, value: std::marker::PhantomData });
    found.and_then(|value| document.end().map(|()| value)).map_err(|cause| BodyError::new(body, cause))
}

/// Walks an object and keeps one field of it; the others are skipped without being built.
struct Field<'k, T> {
    key: &'k str,
    value: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Field<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut found = None;
        while let Some(matches) = map.next_key_seed(IsKey(self.key))? {
            if matches && found.is_none() {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        // As in derived structs: an `Option` may be absent.
        found.map_or_else(|| T::deserialize(Absent::<A::Error>(self.key, std::marker::PhantomData)), Ok)
    }
}

/// Compares a key without keeping it.
struct IsKey<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// Stands for a field that is not there: an `Option` reads it as `None`, anything else as an error.
struct Absent<'k, E>(&'k str, std::marker::PhantomData<E>);

impl<'de, E: serde::de::Error> Deserializer<'de> for Absent<'_, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, E> {
        Err(E::custom(format_args!("missing field `{}`", self.0)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
