//! Code that is run once, to be tried.

use std::collections::HashMap;

use bytes::Bytes;
use connectrpc::ConnectError;
use ignite_control_pipeline::DraftState;
use ignite_core_model::FunctionId;
use ignite_core_proto::v1;

use super::executions::INVOKE_BYTES_MAX;
use super::{Caller, Platform, apps, call, errors, logs, versions};
use crate::executions::Code;

type Answer<T> = Result<T, ConnectError>;

/// Runs the draft as it was compiled, with the settings a publish would give it.
pub(crate) async fn draft(
    platform: &Platform,
    caller: &Caller,
    request: v1::TestDraftRequest,
) -> Answer<v1::TestDraftResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let refused = |words: &str| Err(ConnectError::failed_precondition(words));
    let compiled = match app.draft.map(|draft| draft.state) {
        Some(DraftState::Compiled(compiled)) => compiled,
        Some(DraftState::Compiling { .. }) => {
            return refused("the draft is being compiled: try it when that has ended");
        }
        Some(DraftState::Saved | DraftState::Failed(_)) => {
            return refused("the draft is not compiled: `ignite draft compile` does");
        }
        None => return refused("the app has no draft: save one with `ignite draft save`"),
    };
    let code = Code { compiled, settings: app.settings };
    let result = run(platform, &app.id, code, request.call.as_option()).await?;
    Ok(v1::TestDraftResponse { result: buffa::MessageField::some(result), ..Default::default() })
}

/// Runs a version with the settings it was made with, whether it is live or not.
pub(crate) async fn version(
    platform: &Platform,
    caller: &Caller,
    request: v1::TestAppVersionRequest,
) -> Answer<v1::TestAppVersionResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let version = versions::load(platform, &app.id, request.version).await?;
    let code = Code { compiled: version.compiled, settings: version.settings };
    let result = run(platform, &app.id, code, request.call.as_option()).await?;
    Ok(v1::TestAppVersionResponse { result: buffa::MessageField::some(result), ..Default::default() })
}

async fn run(platform: &Platform, app: &FunctionId, code: Code, test: Option<&v1::TestCall>) -> Answer<v1::TestResult> {
    let http = test.and_then(|test| test.http.as_option());
    let body = test.map_or_else(Bytes::new, |test| Bytes::copy_from_slice(&test.body));
    let call = call::check(http, body.len(), INVOKE_BYTES_MAX)?;
    let tried = platform.executions.try_out(app, code, call, body).await.map_err(errors::execution)?;
    let mut headers: HashMap<String, String> = HashMap::new();
    for (name, value) in &tried.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = headers.entry(name.as_str().to_owned()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&value);
    }
    Ok(v1::TestResult {
        status: u32::from(tried.status.as_u16()),
        headers: headers.into_iter().collect(),
        body: tried.body.to_vec(),
        execution_id: tried.id.to_string(),
        logs: tried.lines.iter().map(logs::line).collect(),
        ..Default::default()
    })
}
