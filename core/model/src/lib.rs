//! The words of the product as types: names, ids, digests, limits, the app manifest and the classes of faults.
//!
//! Everything here is parsed once, at the door, and is valid ever after. This crate knows no file, clock or socket.
//! Begin with [`AppManifest`], [`Runtime`] and [`Limits`].

mod address;
mod app;
mod compile;
mod credential;
mod digest;
mod fault;
mod headers;
mod hostname;
mod ids;
mod instance;
mod limits;
mod manifest;
mod names;
mod runtime;
mod secret;
mod tier;
pub mod toolchain;
mod trace;

pub use address::HostAddress;
pub use app::{
    AppSettings, CodeKind, CodeSource, CompileSource, Compiled, Env, Failure, REASON_BYTES_MAX, Scaling, Step, Version,
};
pub use compile::{COMPILE_JOBS, CompileJob, LogLine, compile_stream};
pub use credential::{Credential, CredentialError, Part, SecretName, SecretReference};
pub use digest::{Digest, DigestError};
pub use fault::Fault;
pub use headers::{
    EXECUTION_ID_HEADER, FUNCTION_ID_HEADER, ORGANIZATION_ID_HEADER, PLATFORM_HEADER_PREFIX, PLATFORM_KEY_HEADER,
    VERSION_HEADER,
};
pub use hostname::{HostLabel, HostLabelError};
pub use ids::{IdError, InstanceId, JobId, TokenId, VersionNumber};
pub use instance::{InstanceDetail, InstanceSpec, InstanceState};
pub use limits::Limits;
pub use manifest::{
    AppManifest, ImageSettings, MANIFEST_FILE, MANIFEST_TEXT_BYTES_MAX, ManifestError, ManifestErrors, ScalingSettings,
    json_schema,
};
pub use names::{AppName, ExecutionId, FunctionId, NameError, OrganizationId};
pub use runtime::{ArtifactKind, Runtime, Target, UnknownWord};
pub use secret::Secret;
pub use tier::{Resources, Tier};
pub use trace::{NoTrace, SpanId, TRACEPARENT_HEADER, TraceContext, TraceId};
