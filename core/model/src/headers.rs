//! Headers by which the parts of the platform tell each other about a request. A caller's own are dropped at the gateway.

/// What the headers of the platform begin with.
pub const PLATFORM_HEADER_PREFIX: &str = "x-ignite-";

/// The id of the execution. Set by the gateway, echoed by the host.
pub const EXECUTION_ID_HEADER: &str = "x-ignite-execution-id";

/// The id of the app. Set by the gateway, echoed by the host.
pub const FUNCTION_ID_HEADER: &str = "x-ignite-function-id";

/// The app's organisation. Set by the gateway, echoed by the host.
pub const ORGANIZATION_ID_HEADER: &str = "x-ignite-organization-id";

/// The version that answers. Set by the gateway, both ways.
pub const VERSION_HEADER: &str = "x-ignite-version";

/// The key by which a gateway knows a call of the control plane: its caller was let in there, and it brings the execution's
/// id. It ends at the gateway.
pub const PLATFORM_KEY_HEADER: &str = "x-ignite-platform-key";
