//! The one table from faults to codes of the API.

use connectrpc::{ConnectError, ErrorCode};
use ignite_core_model::{Fault, FunctionId};
use ignite_core_proto::FieldFaults;
use ignite_store_meta::MetaError;
use ignite_store_objects::ObjectsError;

use crate::AppError;
use crate::executions::ExecutionError;

/// A request with fields at fault.
pub(crate) fn fields(faults: &FieldFaults) -> ConnectError {
    ConnectError::invalid_argument(faults.to_string())
}

/// One field at fault.
pub(crate) fn field(name: &str, clause: &str) -> ConnectError {
    ConnectError::invalid_argument(format!("`{name}` {clause}"))
}

pub(crate) fn no_app(id: &FunctionId) -> ConnectError {
    ConnectError::not_found(AppError::Missing(id.clone()).to_string())
}

pub(crate) fn app(error: AppError) -> ConnectError {
    match error {
        AppError::Store(error) => meta(error),
        error => from(error.fault(), &error),
    }
}

pub(crate) fn meta(error: MetaError) -> ConnectError {
    match &error {
        MetaError::Exists { .. } => ConnectError::already_exists(error.to_string()),
        _ => from(error.fault(), &error),
    }
}

pub(crate) fn objects(error: ObjectsError) -> ConnectError {
    from(error.fault(), &error)
}

pub(crate) fn execution(error: ExecutionError) -> ConnectError {
    match error {
        ExecutionError::App(error) => app(error),
        ExecutionError::Store(error) => meta(error),
        ExecutionError::Objects(error) => objects(error),
        ExecutionError::Gateway(error) => from(error.fault(), &error),
        ExecutionError::Trial(_) => ConnectError::failed_precondition(error.to_string()),
        ExecutionError::TrialTimedOut(_) => ConnectError::deadline_exceeded(error.to_string()),
        ExecutionError::NotLive(_) => ConnectError::failed_precondition(error.to_string()),
        ExecutionError::QueueFull { .. } => ConnectError::resource_exhausted(error.to_string()),
        ExecutionError::IdTaken(_) => ConnectError::already_exists(error.to_string()),
    }
}

fn from(fault: Fault, error: &(dyn std::error::Error + 'static)) -> ConnectError {
    let code = match fault {
        Fault::Caller => ErrorCode::InvalidArgument,
        Fault::Missing => ErrorCode::NotFound,
        Fault::Conflict => ErrorCode::FailedPrecondition,
        Fault::Busy => ErrorCode::Unavailable,
        Fault::Internal => return internal(error),
    };
    ConnectError::new(code, error.to_string())
}

/// What is ours goes to the log, and the caller gets a number to name it by.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ConnectError {
    let number = format!("{:08x}", rand::random::<u32>());
    tracing::error!(number, error, "a call failed");
    ConnectError::internal(format!("the platform failed; it is logged as {number}"))
}
