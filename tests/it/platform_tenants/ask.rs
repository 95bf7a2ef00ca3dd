//! Every method there is, asked as somebody, and what it answers in a form that can be compared.

use std::collections::BTreeSet;

use buffa_descriptor::{DescriptorPool, FieldKind, MessageDescriptor, SingularKind};
use ignite_tests::client::{Answer, Client, ask};
use ignite_tests::platform::Platform;
use serde_json::{Value, json};

/// Ends of the names of fields that name a thing, and names that are such as a whole.
const ID_ENDS: [&str; 2] = ["_id", "_key"];
const IDS: [&str; 5] = ["id", "cursor", "name", "organization", "sha256"];

/// A method of the API.
pub(crate) struct Method {
    /// `Service/Method`
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) streams: bool,
    /// The fields of its request, nested ones with dots.
    pub(crate) fields: BTreeSet<String>,
}

impl Method {
    /// The fields that name something, as `Method.field`.
    pub(crate) fn ids(&self) -> impl Iterator<Item = String> {
        let is_id = |field: &&String| {
            let last = field.rsplit('.').next().unwrap();
            IDS.contains(&last) || ID_ENDS.iter().any(|end| last.ends_with(end))
        };
        // A header's name is the caller's own word.
        let ids = self.fields.iter().filter(is_id).filter(|field| !field.ends_with("http.headers.name"));
        ids.map(|field| format!("{}.{field}", self.name))
    }
}

/// All methods, from their definition.
pub(crate) fn methods() -> Vec<Method> {
    let pool = DescriptorPool::decode(ignite_core_proto::DESCRIPTOR_SET).unwrap();
    let mut methods = Vec::new();
    for service in pool.services() {
        for method in service.methods() {
            let mut fields = BTreeSet::new();
            collect(&pool, pool.message(method.input()), "", &mut fields);
            methods.push(Method {
                path: format!("{}/{}", service.full_name(), method.name()),
                name: method.name().to_owned(),
                streams: method.is_server_streaming(),
                fields,
            });
        }
    }
    assert!(methods.len() >= 40, "there are more methods than {}", methods.len());
    methods
}

fn collect(pool: &DescriptorPool, message: &MessageDescriptor, before: &str, fields: &mut BTreeSet<String>) {
    for field in message.fields() {
        let path = format!("{before}{}", field.name());
        if let FieldKind::Singular(SingularKind::Message(index)) | FieldKind::List(SingularKind::Message(index)) =
            field.kind()
        {
            collect(pool, pool.message(index), &format!("{path}."), fields);
        }
        fields.insert(path);
    }
}

/// Headers of a call, as lines.
fn headers(token: &str, content_type: &str) -> String {
    format!("content-type: {content_type}\r\nauthorization: Bearer {token}\r\n")
}

/// A message of a stream, in its envelope.
fn enveloped(request: &Value) -> Vec<u8> {
    let body = request.to_string();
    let mut message = vec![0];
    message.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body.as_bytes());
    message
}

/// Asks, and reads the answer to its end: of a stream, too.
pub(crate) fn call(platform: &Platform, token: &str, method: &Method, request: &Value) -> Answer {
    let path = format!("/{}", method.path);
    if method.streams {
        let headers = headers(token, "application/connect+json");
        return ask(&platform.api, "POST", &path, &headers, &enveloped(request)).unwrap();
    }
    let headers = headers(token, "application/json");
    ask(&platform.api, "POST", &path, &headers, request.to_string().as_bytes()).unwrap()
}

/// The code an answer has; empty where it is no refusal.
pub(crate) fn code(method: &Method, answer: &Answer) -> String {
    let word = |value: &Value| value["code"].as_str().unwrap_or_default().to_owned();
    if !method.streams || answer.status != 200 {
        return word(&answer.json());
    }
    messages(&answer.body).last().map(|last| word(&last["error"])).unwrap_or_default()
}

/// The messages in the body of a stream.
fn messages(mut body: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    while body.len() >= 5 {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
        found.push(serde_json::from_slice(&body[5..5 + length]).unwrap());
        body = &body[5 + length..];
    }
    found
}

/// Two ids of one form and length: of a thing of the other organisation, and of nothing.
pub(crate) struct Pair {
    pub(crate) theirs: String,
    pub(crate) none: String,
}

impl Pair {
    /// Beside the id, one that differs from it in the last character.
    pub(crate) fn of(theirs: &str) -> Self {
        let last = match theirs.chars().last() {
            Some('x' | '0') => '1',
            Some('a'..='z') => 'x',
            _ => '0',
        };
        let none = format!("{}{last}", &theirs[..theirs.len() - 1]);
        Self { theirs: theirs.to_owned(), none }
    }
}

/// All that an answer tells, with the id that was asked for taken out.
pub(crate) fn told(answer: &Answer, id: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    let named = answer.text().replace(id, "ID").replace(&id.replacen(':', "/", 1), "ID");
    (answer.status, headers, named)
}

/// Asks for theirs and for nothing. The answers must not differ; the first is given back.
pub(crate) fn alike(
    platform: &Platform,
    token: &str,
    method: &Method,
    pair: &Pair,
    request: impl Fn(&str) -> Value,
) -> Answer {
    let theirs = call(platform, token, method, &request(&pair.theirs));
    let none = call(platform, token, method, &request(&pair.none));
    assert_eq!(told(&theirs, &pair.theirs), told(&none, &pair.none), "{} tells of `{}`", method.name, pair.theirs);
    theirs
}

/// A stream that goes on.
pub(crate) struct Follow {
    client: Client,
    bytes: Vec<u8>,
}

impl Follow {
    pub(crate) fn begin(platform: &Platform, token: &str, method: &str, request: &Value) -> Self {
        let mut client = Client::connect(&platform.api).unwrap();
        let path = format!("/ignite.v1.ComputeService/{method}");
        client.request("POST", &path, &headers(token, "application/connect+json"), &enveloped(request)).unwrap();
        let head = client.head().unwrap();
        assert_eq!(head.status, 200);
        Self { client, bytes: Vec::new() }
    }

    /// All it says up to the message in which `wanted` stands, as text.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let mut said = String::new();
        while !said.contains(wanted) {
            while let Some(message) = self.message() {
                assert!(message["error"].is_null(), "the stream ended: {message}");
                said.push_str(&message.to_string());
            }
            if !said.contains(wanted) {
                self.chunk();
            }
        }
        said
    }

    /// Whether it has said nothing.
    pub(crate) fn quiet(&mut self) -> bool {
        self.bytes.is_empty() && matches!(self.client.quiet(), Ok(true))
    }

    fn message(&mut self) -> Option<Value> {
        let length = u32::from_be_bytes(self.bytes.get(1..5)?.try_into().unwrap()) as usize;
        let message = serde_json::from_slice(self.bytes.get(5..5 + length)?).unwrap();
        self.bytes.drain(..5 + length);
        Some(message)
    }

    /// Reads a chunk of the body; the client's own patience bounds it.
    fn chunk(&mut self) {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(char::from(self.client.exactly(1).unwrap()[0]));
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        assert!(size > 0, "the stream ended");
        self.bytes.extend(self.client.exactly(size + 2).unwrap().split_last_chunk::<2>().unwrap().0);
    }
}

/// A request with a value for each field of the method that this test knows, and `app` as the app.
pub(crate) fn request(method: &Method, app: &str, known: &Value) -> Value {
    let mut request = json!({ "appId": app });
    for field in &method.fields {
        if let Some(value) = known.get(field) {
            request[camel(field)] = value.clone();
        }
    }
    request
}

fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}
