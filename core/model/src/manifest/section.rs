//! Reads a TOML table key by key and keeps every fault with its line.
//!
//! The keys of a table are those that are asked for, so that they stand in one place, the reading code.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rules::Rule;
use super::{MANIFEST_TEXT_BYTES_MAX, ManifestError, ManifestErrors};

/// Parses the text; every fault of syntax at once, one for a line.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, ManifestErrors> {
    if text.len() > MANIFEST_TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes, more than {MANIFEST_TEXT_BYTES_MAX}", text.len());
        return Err(ManifestErrors(vec![ManifestError { line: 1, message }]));
    }
    let (table, faults) = DeTable::parse_recoverable(text);
    let mut errors: Vec<ManifestError> = Vec::new();
    for fault in faults {
        let line = line_of(text, fault.span().map_or(0, |span| span.start));
        // What follows on the same line is mostly an echo of the first.
        if errors.iter().all(|error| error.line != line) {
            errors.push(ManifestError { line, message: fault.message().to_owned() });
        }
    }
    errors.sort();
    if errors.is_empty() { Ok(table.into_inner()) } else { Err(ManifestErrors(errors)) }
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count() + 1
}

/// A text that is being read, and its faults so far.
pub(super) struct Document<'t> {
    text: &'t str,
    errors: Vec<ManifestError>,
    /// Keys that have a meaning, each with its section.
    known: Vec<(&'static str, &'static str)>,
    /// Keys that have none.
    unknown: Vec<(&'static str, String, usize)>,
}

/// One table of it.
pub(super) struct Section<'d, 't> {
    document: &'d mut Document<'t>,
    table: &'d DeTable<'t>,
    name: &'static str,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, errors: Vec::new(), known: Vec::new(), unknown: Vec::new() }
    }

    /// Begins to read a table; the name of the topmost is empty.
    pub(super) fn section<'d>(&'d mut self, table: &'d DeTable<'t>, name: &'static str) -> Section<'d, 't> {
        Section { document: self, table, name }
    }

    fn at(&mut self, span: Range<usize>, message: String) {
        let line = line_of(self.text, span.start);
        self.errors.push(ManifestError { line, message });
    }

    /// A fault of several keys together, told at the first of them that is there.
    pub(super) fn fault(&mut self, table: &DeTable<'_>, name: &str, keys: &[&str], message: String) {
        let there: Vec<&str> = keys.iter().copied().filter(|key| table.contains_key(*key)).collect();
        let named: Vec<String> = there.iter().map(|key| format!("`{}`", full_name(name, key))).collect();
        let span = there.first().and_then(|key| table.get(*key)).map_or(0..0, Spanned::span);
        self.at(span, format!("{}: {message}", named.join(" and ")));
    }

    /// Faults for everything in `[image]` of a compiled app; `because` is the key that makes it one.
    pub(super) fn image_keys(&mut self, image: &Spanned<DeValue<'_>>, because: Option<&str>) {
        let because = because.map(|key| format!(" (`{key}` makes it one)")).unwrap_or_default();
        let end = format!("is for containers and does nothing in a compiled app{because}: remove it");
        // That they are unknown, too, does not matter any more.
        self.unknown.retain(|unknown| unknown.0 != "image");
        match image.get_ref() {
            DeValue::Table(table) if !table.is_empty() => {
                for key in table.keys() {
                    self.at(key.span(), format!("`image.{}` {end}", key.get_ref()));
                }
            }
            _ => self.at(image.span(), format!("`[image]` {end}")),
        }
    }

    /// The value, if there was no fault.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, ManifestErrors> {
        for (section, key, line) in std::mem::take(&mut self.unknown) {
            let message = self.unknown_key(section, &key);
            self.errors.push(ManifestError { line, message });
        }
        self.errors.sort_by_key(|error| error.line);
        if self.errors.is_empty() { Ok(value) } else { Err(ManifestErrors(self.errors)) }
    }

    /// What to say of a key without a meaning.
    fn unknown_key(&self, section: &str, key: &str) -> String {
        let name = full_name(section, key);
        let plain = key.to_lowercase().replace('-', "_");
        let here = || self.known.iter().filter(|known| known.0 == section).map(|known| known.1);
        if let Some((other, _)) = self.known.iter().find(|known| known.0 != section && known.1 == plain) {
            let place = if other.is_empty() { "above all `[…]`".to_owned() } else { format!("in `[{other}]`") };
            return format!("unknown key `{name}`: `{plain}` belongs {place}");
        }
        if let Some(near) = nearest(&plain, here()) {
            return format!("unknown key `{name}`: did you mean `{near}`?");
        }
        let all: Vec<&str> = here().collect();
        format!("unknown key `{name}`: there is {}", all.join(", "))
    }
}

/// The word that was most likely meant.
pub(super) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// Likeness from 0 to 1, above which a word was likely meant. `timeout` and `timeout_secs` have 0.92.
    const LIKENESS_MIN: f64 = 0.8;
    let likeness = |other: &str| {
        let part = other.split('_').any(|part| part == word && part.len() > 2);
        if part { 1.0 } else { strsim::jaro_winkler(word, other) }
    };
    words
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word)
}

fn full_name(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// What a value is, in words.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl<'d, 't> Section<'d, 't> {
    /// A value, if the key is there.
    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.document.known.push((self.name, key));
        self.table.get(key)
    }

    /// A fault of the value of `key`, as a clause that follows its name.
    pub(super) fn fault(&mut self, key: &str, clause: impl Display) {
        let span = self.table.get(key).map_or(0..0, Spanned::span);
        self.fault_at(span, key, clause);
    }

    fn fault_at(&mut self, span: Range<usize>, key: &str, clause: impl Display) {
        let name = full_name(self.name, key);
        self.document.at(span, format!("`{name}` {clause}"));
    }

    fn wrong_kind(&mut self, key: &str, value: &Spanned<DeValue<'_>>, write: &str) {
        let clause = format!("is {}: write {write}", kind_of(value.get_ref()));
        self.fault_at(value.span(), key, clause);
    }

    /// A table below this one, or `absent` where it is not there.
    pub(super) fn section<'s>(&'s mut self, key: &'static str, absent: &'s DeTable<'t>) -> Section<'s, 't> {
        let table = match self.get(key) {
            None => absent,
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => table,
                _ => {
                    self.wrong_kind(key, value, &format!("a section `[{key}]`"));
                    absent
                }
            },
        };
        Section { document: self.document, table, name: key }
    }

    fn text(&mut self, key: &'static str, write: &str) -> Option<(Range<usize>, String)> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((value.span(), text.to_string())),
            _ => {
                self.wrong_kind(key, value, write);
                None
            }
        }
    }

    /// Text that keeps a rule.
    pub(super) fn checked_text(&mut self, key: &'static str, rule: Rule) -> Option<String> {
        let (span, text) = self.text(key, "it in quotes")?;
        match rule(&text) {
            None => Some(text),
            Some(fault) => {
                self.fault_at(span, key, fault);
                None
            }
        }
    }

    /// Text of a type that says itself what it must be.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let (span, text) = self.text(key, "it in quotes")?;
        text.parse().map_err(|fault| self.fault_at(span, key, format!("is wrong: {fault}"))).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        words: impl Iterator<Item = &'static str> + Clone,
    ) -> Option<T> {
        let write = words.clone().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let (span, text) = self.text(key, &write)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(fault) => {
                let near = nearest(&text.to_lowercase(), words);
                let hint = near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
                self.fault_at(span, key, format!("is wrong: {fault}{hint}"));
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.wrong_kind(key, value, &format!("`{key} = true` or `{key} = false`, without quotes"));
                None
            }
        }
    }

    /// A whole number within `range`, which counts `unit`.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u32>, unit: &str) -> Option<u32> {
        let value = self.get(key)?;
        let allowed = format!("from {} to {} ({unit})", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_kind(key, value, &format!("a whole number {allowed}, such as `{key} = {}`", example(&range)));
            return None;
        };
        let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number));
        if parsed.is_none() {
            let written = number.as_str();
            self.fault_at(value.span(), key, format!("is {written}: it must be {allowed}"));
        }
        parsed
    }

    /// A list of texts, each of which keeps a rule.
    pub(super) fn texts(&mut self, key: &'static str, most: usize, rule: Rule) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(values) = value.get_ref() else {
            self.wrong_kind(key, value, &format!("a list, such as `{key} = [\"data/**\"]`"));
            return Vec::new();
        };
        if values.len() > most {
            self.fault_at(value.span(), key, format!("has {} entries, more than {most}", values.len()));
        }
        let mut texts = Vec::new();
        for value in values.iter() {
            match value.get_ref() {
                DeValue::String(text) => match rule(text) {
                    None => texts.push(text.to_string()),
                    Some(fault) => self.fault_at(value.span(), key, fault),
                },
                other => {
                    let clause = format!("has an entry that is {}: write it in quotes", kind_of(other));
                    self.fault_at(value.span(), key, clause);
                }
            }
        }
        texts
    }

    /// A list of port numbers.
    pub(super) fn ports(&mut self, key: &'static str) -> Vec<u16> {
        /// Most ports of an app; each gets a hostname.
        const PORTS_MAX: usize = 16;
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(values) = value.get_ref() else {
            self.wrong_kind(key, value, &format!("a list, such as `{key} = [8080]`"));
            return Vec::new();
        };
        if values.len() > PORTS_MAX {
            self.fault_at(value.span(), key, format!("has {} entries, more than {PORTS_MAX}", values.len()));
        }
        let mut ports = Vec::new();
        for value in values.iter() {
            let port = match value.get_ref() {
                DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
                _ => None,
            };
            match port.filter(|port| *port > 0) {
                None => {
                    self.fault_at(value.span(), key, "has an entry that is not a port: write numbers from 1 to 65535")
                }
                Some(port) if ports.contains(&port) => self.fault_at(value.span(), key, format!("has {port} twice")),
                Some(port) => ports.push(port),
            }
        }
        ports
    }

    /// A table of texts with names of the author's choice.
    pub(super) fn map(
        &mut self,
        key: &'static str,
        most: usize,
        name_rule: Rule,
        rule: Rule,
    ) -> BTreeMap<String, String> {
        let Some(section) = self.get(key) else { return BTreeMap::new() };
        let DeValue::Table(table) = section.get_ref() else {
            let section_name = full_name(self.name, key);
            self.wrong_kind(key, section, &format!("a section `[{section_name}]`"));
            return BTreeMap::new();
        };
        if table.len() > most {
            self.fault_at(section.span(), key, format!("has {} entries, more than {most}", table.len()));
        }
        let mut map = BTreeMap::new();
        for (name, value) in table {
            let entry = format!("{key}.{}", name.get_ref());
            if let Some(fault) = name_rule(name.get_ref()) {
                self.fault_at(name.span(), &entry, fault);
            }
            match value.get_ref() {
                DeValue::String(text) => match rule(text) {
                    None => {
                        map.insert(name.get_ref().to_string(), text.to_string());
                    }
                    Some(fault) => self.fault_at(value.span(), &entry, fault),
                },
                other => {
                    let write = match other {
                        DeValue::Integer(number) if number.radix() == 10 => {
                            format!("`{} = \"{}\"`", name.get_ref(), number.as_str())
                        }
                        DeValue::Boolean(value) => format!("`{} = \"{value}\"`", name.get_ref()),
                        _ => "it in quotes".to_owned(),
                    };
                    self.wrong_kind(&entry, value, &write);
                }
            }
        }
        map
    }

    /// Ends the reading of this table: a key that nobody asked for is unknown.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            if !self.document.known.contains(&(self.name, &**key.get_ref())) {
                let line = line_of(self.document.text, key.span().start);
                self.document.unknown.push((self.name, key.get_ref().to_string(), line));
            }
        }
    }
}

/// A number to show as an example.
fn example(range: &RangeInclusive<u32>) -> u32 {
    [30, 512, 1].into_iter().find(|number| range.contains(number)).unwrap_or(*range.start())
}
