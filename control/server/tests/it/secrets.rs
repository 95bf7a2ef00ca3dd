//! Secrets are written and never read back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::Stage;

/// What must not be seen anywhere.
const SECRET: &str = "hunter2-is-the-secret";

fn value(name: &str) -> Value {
    json!({ "name": name, "valueSecret": { "value": SECRET } })
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_made_listed_and_deleted() {
    let stage = Stage::new().await;
    let made = stage.done("all", "ignite.v1.SecretService/CreateSecret", value("db")).await;
    assert_eq!((&made["secret"]["name"], &made["secret"]["type"]), (&json!("db"), &json!("value_secret")));
    let git = json!({ "name": "code", "gitSecret": { "username": "ada", "token": SECRET } });
    stage.done("all", "ignite.v1.SecretService/CreateSecret", git).await;
    let hub = json!({ "name": "hub", "registrySecret": { "username": "ada", "password": SECRET } });
    stage.done("all", "ignite.v1.SecretService/CreateSecret", hub).await;
    // Once more overwrites.
    stage.done("all", "ignite.v1.SecretService/CreateSecret", value("hub")).await;

    let names = |listed: &Value| -> Vec<String> {
        let secrets = listed["secrets"].as_array().into_iter().flatten();
        secrets.map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["type"].as_str().unwrap())).collect()
    };
    let page = stage.done("all", "ignite.v1.SecretService/ListSecrets", json!({ "limit": 2 })).await;
    assert_eq!(names(&page), ["code git_secret", "db value_secret"]);
    let next = json!({ "limit": 2, "cursor": page["nextCursor"] });
    let page = stage.done("all", "ignite.v1.SecretService/ListSecrets", next).await;
    assert_eq!(names(&page), ["hub value_secret"]);

    // Those of others are not there.
    let others = stage.done("stranger", "ignite.v1.SecretService/ListSecrets", json!({})).await;
    assert!(names(&others).is_empty(), "{others}");
    stage.done("stranger", "ignite.v1.SecretService/DeleteSecret", json!({ "name": "db" })).await;
    for _ in 0..2 {
        stage.done("all", "ignite.v1.SecretService/DeleteSecret", json!({ "name": "code" })).await;
    }
    let left = stage.done("all", "ignite.v1.SecretService/ListSecrets", json!({})).await;
    assert_eq!(names(&left), ["db value_secret", "hub value_secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_fault_is_named_and_not_repeated() {
    let stage = Stage::new().await;
    let long = format!("{SECRET}{}", "x".repeat(32 * 1024));
    let wrong = [
        (json!({ "name": "a b", "valueSecret": { "value": SECRET } }), "`name`"),
        (json!({ "name": "db" }), "`value`"),
        (json!({ "name": "db", "valueSecret": {} }), "`value_secret.value`"),
        (json!({ "name": "db", "valueSecret": { "value": long } }), "`value_secret.value`"),
        (json!({ "name": "db", "valueSecret": { "value": format!("{SECRET}\0") } }), "`value_secret.value`"),
        (json!({ "name": "db", "registrySecret": { "password": SECRET } }), "`registry_secret.username`"),
    ];
    for (request, field) in wrong {
        let answer = stage.call("all", "ignite.v1.SecretService/CreateSecret", request).await;
        assert_eq!(answer.body["code"], "invalid_argument", "{}", answer.text);
        assert!(answer.text.contains(field) && !answer.text.contains(SECRET), "{}", answer.text);
    }
    let config = json!({ "appId": "hello", "config": { "env": { "values": { "DB": "secret://no such" } } } });
    let answer = stage.call("all", "UpdateAppConfig", config).await;
    assert!(answer.text.contains("`config.env.DB`"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_and_no_record_gives_one_away() {
    let stage = Stage::new().await;
    stage.done("all", "ignite.v1.SecretService/CreateSecret", value("db")).await;
    let env = json!({ "values": { "DB": "secret://db" } });
    stage.done("all", "UpdateAppConfig", json!({ "appId": "hello", "config": { "env": env } })).await;
    stage.live().await;
    let pool = buffa_descriptor::DescriptorPool::decode(ignite_core_proto::DESCRIPTOR_SET).unwrap();
    let mut asked = 0;
    for service in pool.services() {
        for method in service.methods() {
            if ["DeleteApp", "DeleteSecret"].contains(&method.name()) {
                continue;
            }
            let name = format!("{}/{}", service.full_name(), method.name());
            for token in ["all", "admin", "stranger"] {
                let request = json!({ "appId": "acme/hello", "version": 1, "limit": 10 });
                // Members that a method does not have are ignored or refused: both are an answer.
                let answer = stage.call(token, &name, request.clone());
                // One that calls the app waits for a gateway that is not there.
                if let Ok(answer) = tokio::time::timeout(Duration::from_secs(2), answer).await {
                    assert!(!answer.text.contains(SECRET), "{name} gives it to {token}: {}", answer.text);
                    asked += 1;
                }
                let mut messages = stage.begin(token, &name, request).await;
                // One that follows something goes on: what there is comes first.
                while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(100), messages.next()).await {
                    assert!(!message.to_string().contains(SECRET), "{name} streams it to {token}: {message}");
                }
            }
        }
    }
    assert!(asked > 60, "{asked}");
    // Neither do the records: rows wanted, versions, events.
    let meta = stage.platform.apps.meta();
    for row in meta.list_desired(&stage.platform.app).await.unwrap() {
        assert!(row.spec.contains("secret://db") && !row.spec.contains(SECRET));
    }
    let organization = "acme".parse().unwrap();
    let sealed = meta.load_sealed(&organization, "db").await.unwrap();
    assert!(!sealed.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
}
