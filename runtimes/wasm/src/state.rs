//! What one instance has of the host.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderName;
use ignite_runtimes_executor::LogSource;
use tokio::sync::oneshot;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostMonotonicClock, WasiCtx, WasiCtxView, WasiView};
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
    /// Made when the guest first asks for something that needs it: many never do, and it takes a dozen allocations.
    wasi: Option<WasiCtx>,
    pub(crate) http: WasiHttpCtx,
    pub(crate) outgoing: NoOutgoing,
    pub(crate) memory: MemoryShare,
    pub(crate) log: ExecutionLog,
    stderr: Option<Output>,
    source: Arc<StateSource>,
    born: Instant,
    /// Where the head of a streamed answer goes; taken by the first.
    pub(crate) head: Option<oneshot::Sender<Head>>,
}

/// What every instance of an executor is given.
pub(crate) struct StateSource {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) line_bytes_max: usize,
    pub(crate) budget: Arc<MemoryBudget>,
}

impl State {
    /// The state of a new instance, which begins at `born` by its own clock.
    pub(crate) fn new(
        source: &Arc<StateSource>,
        log: ExecutionLog,
        head: Option<oneshot::Sender<Head>>,
        born: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES_MAX);
        let outgoing = NoOutgoing { log: log.clone(), said: false };
        let memory = MemoryShare::new(Arc::clone(&source.budget));
        let source = Arc::clone(source);
        Self { table, wasi: None, http, outgoing, memory, log, stderr: None, source, born, head }
    }

    /// Nanoseconds since the instance began.
    pub(crate) fn clock_ns(&self) -> u64 {
        since(self.born)
    }

    /// The last lines it printed on stderr.
    pub(crate) fn printed(&self) -> String {
        self.stderr.as_ref().map_or_else(String::new, Output::finish)
    }

    /// What WASI gives it: no files, no sockets, no arguments, the declared environment.
    fn wasi(&mut self) -> WasiCtxView<'_> {
        let Self { table, wasi, source, log, stderr, born, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            let errors = Output::new(log.clone(), LogSource::Stderr, source.line_bytes_max);
            *stderr = Some(errors.clone());
            WasiCtx::builder()
                .envs(&source.env)
                .stdout(Output::new(log.clone(), LogSource::Stdout, source.line_bytes_max))
                .stderr(errors)
                .monotonic_clock(SinceBirth(*born))
                .build()
        });
        WasiCtxView { ctx, table }
    }
}

/// The clock of one instance, which begins with it.
struct SinceBirth(Instant);

impl HostMonotonicClock for SinceBirth {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        since(self.0)
    }
}

fn since(born: Instant) -> u64 {
    u64::try_from(born.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi()
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
