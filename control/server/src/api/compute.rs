//! `ComputeService`: each method and who carries it out.

use connectrpc::{RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures_util::StreamExt as _;
use ignite_core_proto::v1;

use super::{Api, Platform, apps, code, drafts, executions, logs, trials, versions};

macro_rules! unary {
    ($($name:ident($request:ident) -> $response:ident = $call:path;)*) => {
        $(async fn $name(
            &self,
            ctx: RequestContext,
            request: ServiceRequest<'_, v1::$request>,
        ) -> ServiceResult<v1::$response> {
            let (caller, request) = (Platform::caller(&ctx)?, request.to_owned_message());
            Response::ok($call(&self.0, &caller, request).await?)
        })*
    };
}

macro_rules! streams {
    ($($name:ident($request:ident) -> $response:ident = $call:path;)*) => {
        $(async fn $name(
            &self,
            ctx: RequestContext,
            request: ServiceRequest<'_, v1::$request>,
        ) -> ServiceResult<ServiceStream<v1::$response>> {
            let (caller, request) = (Platform::caller(&ctx)?, request.to_owned_message());
            let stream: ServiceStream<v1::$response> = $call(self.0.clone(), &caller, request).await?;
            Response::ok(stream)
        })*
    };
}

pub(crate) use {streams, unary};

#[allow(refining_impl_trait, reason = "the services answer with whole messages")]
impl v1::ComputeService for Api {
    unary! {
        create_app(CreateAppRequest) -> CreateAppResponse = apps::create;
        get_app(GetAppRequest) -> GetAppResponse = apps::get;
        list_apps(ListAppsRequest) -> ListAppsResponse = apps::list;
        update_app_config(UpdateAppConfigRequest) -> UpdateAppConfigResponse = apps::update;
        delete_app(DeleteAppRequest) -> DeleteAppResponse = apps::delete;
        get_app_state(GetAppStateRequest) -> GetAppStateResponse = apps::state;
        list_app_instances(ListAppInstancesRequest) -> ListAppInstancesResponse = apps::instances;
        save_draft(SaveDraftRequest) -> SaveDraftResponse = drafts::save;
        get_draft_info(GetDraftInfoRequest) -> GetDraftInfoResponse = drafts::info;
        compile_draft(CompileDraftRequest) -> CompileDraftResponse = drafts::compile;
        cancel_compile(CancelCompileRequest) -> CancelCompileResponse = drafts::cancel_compile;
        publish_draft(PublishDraftRequest) -> PublishDraftResponse = drafts::publish;
        cancel_rollout(CancelRolloutRequest) -> CancelRolloutResponse = drafts::cancel_rollout;
        rollback_app(RollbackAppRequest) -> RollbackAppResponse = drafts::roll_back;
        list_app_versions(ListAppVersionsRequest) -> ListAppVersionsResponse = versions::list;
        get_app_version(GetAppVersionRequest) -> GetAppVersionResponse = versions::get;
        get_app_logs(GetAppLogsRequest) -> GetAppLogsResponse = logs::app_logs;
        get_app_events(GetAppEventsRequest) -> GetAppEventsResponse = logs::app_events;
        test_draft(TestDraftRequest) -> TestDraftResponse = trials::draft;
        test_app_version(TestAppVersionRequest) -> TestAppVersionResponse = trials::version;
        invoke_async(InvokeAsyncRequest) -> InvokeAsyncResponse = executions::invoke_async;
        get_execution(GetExecutionRequest) -> GetExecutionResponse = executions::get;
        list_executions(ListExecutionsRequest) -> ListExecutionsResponse = executions::list;
        cancel_execution(CancelExecutionRequest) -> CancelExecutionResponse = executions::cancel;
        get_execution_stats(GetExecutionStatsRequest) -> GetExecutionStatsResponse = executions::stats;
    }

    streams! {
        stream_compile_logs(StreamCompileLogsRequest) -> StreamCompileLogsResponse = logs::compile_lines;
        stream_app_logs(StreamAppLogsRequest) -> StreamAppLogsResponse = logs::stream_logs;
        stream_app_events(StreamAppEventsRequest) -> StreamAppEventsResponse = logs::stream_events;
        get_app_code(GetAppCodeRequest) -> GetAppCodeResponse = code::stream;
        watch_execution(WatchExecutionRequest) -> WatchExecutionResponse = executions::watch;
    }

    async fn watch_rollout(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, v1::WatchRolloutRequest>,
    ) -> ServiceResult<ServiceStream<v1::WatchRolloutResponse>> {
        let (caller, request) = (Platform::caller(&ctx)?, request.to_owned_message());
        let rollouts = drafts::watch_rollout(self.0.clone(), &caller, &request.app_id, &request.rollout_id).await?;
        let answers = rollouts.map(|rollout| {
            let rollout = buffa::MessageField::some(rollout?);
            Ok(v1::WatchRolloutResponse { rollout, ..Default::default() })
        });
        let stream: ServiceStream<v1::WatchRolloutResponse> = Box::pin(answers);
        Response::ok(stream)
    }

    async fn invoke(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, v1::InvokeRequest>,
    ) -> ServiceResult<ServiceStream<v1::InvokeResponse>> {
        let (caller, request) = (Platform::caller(&ctx)?, request.to_owned_message());
        Response::ok(executions::invoke(self.0.clone(), &caller, request, ctx.deadline()).await?)
    }
}
