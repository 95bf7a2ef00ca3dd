//! What one instance has of the host.

use std::sync::Arc;

use http::HeaderName;
use ignite_runtimes_executor::LogSource;
use tokio::sync::oneshot;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::execution::Head;
use crate::lines::{ExecutionLog, Output};
use crate::memory::{MemoryBudget, MemoryShare};

/// Most handles one instance may have: streams, bodies, header lists, timers.
const HANDLES_MAX: usize = 16 * 1024;

/// Bytes a header list of a `wasi:http` guest may have, counted as the library counts them: with the maps around them.
const FIELD_BYTES_MAX: usize = 256 * 1024;

/// The data of one instance's store.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) outgoing: NoOutgoing,
    pub(crate) memory: MemoryShare,
    pub(crate) log: ExecutionLog,
    pub(crate) stderr: Output,
    /// Where the head of a streamed answer goes; taken by the first.
    pub(crate) head: Option<oneshot::Sender<Head>>,
}

/// What every instance of an executor is given.
pub(crate) struct StateSource {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) line_bytes_max: usize,
    pub(crate) budget: Arc<MemoryBudget>,
}

impl StateSource {
    /// The state of a new instance: no files, no sockets, no arguments, the declared environment.
    pub(crate) fn state(&self, log: ExecutionLog, head: Option<oneshot::Sender<Head>>) -> State {
        let stderr = Output::new(log.clone(), LogSource::Stderr, self.line_bytes_max);
        let wasi = WasiCtx::builder()
            .envs(&self.env)
            .stdout(Output::new(log.clone(), LogSource::Stdout, self.line_bytes_max))
            .stderr(stderr.clone())
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES_MAX);
        let outgoing = NoOutgoing { log: log.clone(), said: false };
        State { table, wasi, http, outgoing, memory: MemoryShare::new(Arc::clone(&self.budget)), log, stderr, head }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}

/// Denies every outgoing request, and says once how it would be allowed.
pub(crate) struct NoOutgoing {
    log: ExecutionLog,
    said: bool,
}

type Sent = (
    http::Response<wasmtime_wasi_http::WasiBody>,
    Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
);

impl WasiHttpHooks for NoOutgoing {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn send_request(
        &mut self,
        request: http::Request<wasmtime_wasi_http::WasiBody>,
        _options: Option<wasmtime_wasi_http::RequestOptions>,
        _fut: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<dyn Future<Output = wasmtime_wasi_http::Result<Sent>> + Send> {
        if !std::mem::replace(&mut self.said, true) {
            let authority = request.uri().authority().map_or("an unnamed host", |authority| authority.as_str());
            let message = format!(
                "the request to {authority} was denied: WebAssembly functions may not send requests yet; the setting that \
                 will name hosts they may reach is `allowed_outbound_hosts`"
            );
            self.log.line(LogSource::Host, "warn", &message, "");
        }
        Box::new(std::future::ready(Err(wasmtime_wasi_http::Error::HttpRequestDenied)))
    }
}
