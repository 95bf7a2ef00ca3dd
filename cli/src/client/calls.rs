//! The methods of the API, each by its request.

use ignite_core_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::words::{execution_has_ended, has_ended};

/// A request that one message answers.
pub(crate) trait Call: Serialize {
    /// Service and method.
    const METHOD: &'static str;
    /// Whether the same request again does no more than the first did.
    const IDEMPOTENT: bool;
    /// What it is answered with.
    type Answer: DeserializeOwned;
}

/// A request that many messages answer.
pub(crate) trait StreamCall: Serialize {
    /// Service and method.
    const METHOD: &'static str;
    /// One message.
    type Answer: DeserializeOwned;
}

/// A stream that is asked for anew where it broke.
pub(crate) trait Resume: StreamCall + Clone + Send + 'static {
    /// Whether there is a last message. A stream that ends before it broke off.
    const ENDS: bool;

    /// Makes this request that for what follows `answer`; tells whether nothing does.
    fn advance(&mut self, answer: &Self::Answer) -> Next;
}

/// What follows a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More, some time.
    More,
    /// Nothing: it was the last.
    End,
}

macro_rules! calls {
    ($service:literal: $($word:ident $name:literal $request:ident -> $answer:ident;)*) => {
        $(impl Call for v1::$request {
            const METHOD: &'static str = concat!("ignite.v1.", $service, "/", $name);
            const IDEMPOTENT: bool = idempotent!($word);
            type Answer = v1::$answer;
        })*
    };
}

macro_rules! idempotent {
    (again) => {
        true
    };
    (once) => {
        false
    };
}

macro_rules! streams {
    ($service:literal: $($name:literal $request:ident -> $answer:ident;)*) => {
        $(impl StreamCall for v1::$request {
            const METHOD: &'static str = concat!("ignite.v1.", $service, "/", $name);
            type Answer = v1::$answer;
        })*
    };
}

// `again` is what reads, sets whole values, or carries an id of the caller's by which the same request is known.
calls! { "ComputeService":
    once "CreateApp" CreateAppRequest -> CreateAppResponse;
    again "GetApp" GetAppRequest -> GetAppResponse;
    again "ListApps" ListAppsRequest -> ListAppsResponse;
    again "UpdateAppConfig" UpdateAppConfigRequest -> UpdateAppConfigResponse;
    again "DeleteApp" DeleteAppRequest -> DeleteAppResponse;
    again "GetAppState" GetAppStateRequest -> GetAppStateResponse;
    once "SaveDraft" SaveDraftRequest -> SaveDraftResponse;
    again "GetDraftInfo" GetDraftInfoRequest -> GetDraftInfoResponse;
    once "CompileDraft" CompileDraftRequest -> CompileDraftResponse;
    once "TestDraft" TestDraftRequest -> TestDraftResponse;
    again "PublishDraft" PublishDraftRequest -> PublishDraftResponse;
    again "ListAppVersions" ListAppVersionsRequest -> ListAppVersionsResponse;
    again "GetAppVersion" GetAppVersionRequest -> GetAppVersionResponse;
    again "RollbackApp" RollbackAppRequest -> RollbackAppResponse;
    once "TestAppVersion" TestAppVersionRequest -> TestAppVersionResponse;
    again "InvokeAsync" InvokeAsyncRequest -> InvokeAsyncResponse;
    again "GetExecution" GetExecutionRequest -> GetExecutionResponse;
    again "ListExecutions" ListExecutionsRequest -> ListExecutionsResponse;
    again "GetAppLogs" GetAppLogsRequest -> GetAppLogsResponse;
    again "GetAppEvents" GetAppEventsRequest -> GetAppEventsResponse;
    again "ListAppInstances" ListAppInstancesRequest -> ListAppInstancesResponse;
}

calls! { "DeploymentService":
    again "CreateUpload" CreateUploadRequest -> CreateUploadResponse;
    once "Deploy" DeployRequest -> DeployResponse;
}

calls! { "SecretService":
    again "CreateSecret" CreateSecretRequest -> CreateSecretResponse;
    again "ListSecrets" ListSecretsRequest -> ListSecretsResponse;
    again "DeleteSecret" DeleteSecretRequest -> DeleteSecretResponse;
}

calls! { "TokenService":
    once "CreateToken" CreateTokenRequest -> CreateTokenResponse;
    again "ListTokens" ListTokensRequest -> ListTokensResponse;
    again "RevokeToken" RevokeTokenRequest -> RevokeTokenResponse;
}

streams! { "ComputeService":
    "StreamCompileLogs" StreamCompileLogsRequest -> StreamCompileLogsResponse;
    "WatchRollout" WatchRolloutRequest -> WatchRolloutResponse;
    "GetAppCode" GetAppCodeRequest -> GetAppCodeResponse;
    "Invoke" InvokeRequest -> InvokeResponse;
    "WatchExecution" WatchExecutionRequest -> WatchExecutionResponse;
    "StreamAppLogs" StreamAppLogsRequest -> StreamAppLogsResponse;
    "StreamAppEvents" StreamAppEventsRequest -> StreamAppEventsResponse;
}

impl Resume for v1::StreamCompileLogsRequest {
    const ENDS: bool = true;

    fn advance(&mut self, answer: &Self::Answer) -> Next {
        if let Some(last) = answer.lines.last() {
            self.from_sequence = last.sequence + 1;
        }
        if has_ended(answer.status) { Next::End } else { Next::More }
    }
}

impl Resume for v1::WatchRolloutRequest {
    const ENDS: bool = true;

    fn advance(&mut self, answer: &Self::Answer) -> Next {
        if has_ended(answer.rollout.status) { Next::End } else { Next::More }
    }
}

impl Resume for v1::WatchExecutionRequest {
    const ENDS: bool = true;

    fn advance(&mut self, answer: &Self::Answer) -> Next {
        if execution_has_ended(answer.execution.status) { Next::End } else { Next::More }
    }
}

impl Resume for v1::StreamAppLogsRequest {
    const ENDS: bool = false;

    fn advance(&mut self, answer: &Self::Answer) -> Next {
        if let Some(last) = answer.lines.last() {
            self.from_sequence = last.sequence + 1;
        }
        Next::More
    }
}

impl Resume for v1::StreamAppEventsRequest {
    const ENDS: bool = false;

    fn advance(&mut self, answer: &Self::Answer) -> Next {
        if let Some(last) = answer.events.last() {
            self.from_sequence = last.sequence + 1;
        }
        Next::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A method that is misspelled here would be found by nobody but its user.
    #[test]
    fn every_method_is_one_of_the_api() {
        let set = String::from_utf8_lossy(ignite_core_proto::DESCRIPTOR_SET).into_owned();
        for method in [
            v1::CreateAppRequest::METHOD,
            v1::UpdateAppConfigRequest::METHOD,
            v1::DeployRequest::METHOD,
            v1::CreateUploadRequest::METHOD,
            v1::RevokeTokenRequest::METHOD,
            v1::CreateSecretRequest::METHOD,
            v1::WatchRolloutRequest::METHOD,
            v1::StreamAppLogsRequest::METHOD,
        ] {
            let (service, name) = method.trim_start_matches("ignite.v1.").split_once('/').unwrap_or_default();
            assert!(set.contains(service) && set.contains(name), "{method}");
        }
    }

    #[test]
    fn a_stream_goes_on_behind_its_last_line() {
        let line = |sequence| v1::LogLine { sequence, ..Default::default() };
        let mut request = v1::StreamCompileLogsRequest::default();
        let mut answer = v1::StreamCompileLogsResponse { lines: vec![line(1), line(2)], ..Default::default() };
        assert_eq!((request.advance(&answer), request.from_sequence), (Next::More, 3));
        answer = v1::StreamCompileLogsResponse {
            status: v1::CompileStatus::COMPILE_STATUS_FAILED.into(),
            ..Default::default()
        };
        assert_eq!((request.advance(&answer), request.from_sequence), (Next::End, 3));
    }
}
