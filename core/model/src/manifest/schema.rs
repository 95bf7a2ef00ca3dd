//! The JSON schema of `ignite.toml`, for editors.

use serde_json::Value;

use super::AppManifest;

/// The schema as JSON text with a final line feed. It is published as `docs/reference/ignite.schema.json`.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(AppManifest).to_value();
    strip_null(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).expect("a JSON value is JSON");
    text.push('\n');
    text
}

/// Takes `null` out of the types: an optional key is left out, for TOML has no null. What remains optional is so because
/// nothing is listed as required.
fn strip_null(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(strip_null);
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|one| one != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            // Collections may be left out too.
            object.remove("required");
        }
        Value::Array(values) => values.iter_mut().for_each(strip_null),
        _ => {}
    }
}
