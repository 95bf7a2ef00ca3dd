//! Where the platform is and who asks there: flags over environment over configuration, each value with its origin.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ignite_core_model::{AppName, FunctionId, OrganizationId, Secret};

use crate::client::{self, Client, Endpoint};
use crate::config::{self, Config};
use crate::exit::{CliError, Exit};
use crate::settings::{Env, Settings};

/// How long a call may take when nobody says.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Longest time a call may be given.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) api_endpoint: Option<String>,
    pub(crate) token: Option<Secret<String>>,
    pub(crate) org: Option<String>,
    pub(crate) timeout: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::File => f.write_str("configuration"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// What is meant by flags, environment and configuration together.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) endpoint: Given<Endpoint>,
    pub(crate) token: Option<Given<Secret<String>>>,
    pub(crate) org: Option<Given<OrganizationId>>,
    timeout: Duration,
    /// The certificates that are trusted, in place of public ones.
    roots: Option<PathBuf>,
    /// Where the configuration is, or would be.
    pub(crate) file: PathBuf,
}

impl Connection {
    /// Reads the configuration and puts it below environment and flags.
    pub(crate) fn load(settings: &Settings) -> Result<Self, CliError> {
        let file = config::path(&settings.env)?;
        let config = config::load(&file)?;
        Self::resolve(&settings.flags, &settings.env, config, file)
    }

    fn resolve(flags: &Flags, env: &Env, config: Config, file: PathBuf) -> Result<Self, CliError> {
        let variable = |name: &'static str| {
            let value = env(name).map(|value| value.to_string_lossy().trim().to_owned());
            value.filter(|value| !value.is_empty()).map(|value| (value, Origin::Environment(name)))
        };
        let refused = |origin: Origin, why: String| {
            CliError::new(Exit::InvalidArgument, format!("could not use {origin}")).because(why)
        };
        let typed = flags.api_endpoint.clone().map(|value| (value, Origin::Flag("--api-endpoint")));
        let endpoint = match typed.or_else(|| variable("IGNITE_API_ENDPOINT")) {
            Some((text, origin)) => {
                let value =
                    text.parse().map_err(|error: crate::client::EndpointError| refused(origin, error.to_string()))?;
                Given { value, origin }
            }
            None => match config.api_endpoint {
                Some(value) => Given { value, origin: Origin::File },
                None => Given {
                    value: Endpoint::LOCAL.parse().map_err(|_| CliError::new(Exit::Internal, "no default endpoint"))?,
                    origin: Origin::Default,
                },
            },
        };
        let typed = flags.token.as_ref().map(|token| (token.reveal().clone(), Origin::Flag("--token")));
        let token = typed.or_else(|| variable("IGNITE_TOKEN")).or_else(|| variable("DODIL_TOKEN"));
        let token = match token {
            Some((text, origin)) => {
                let value = config::token(&text).map_err(|why| refused(origin, why.to_owned()))?;
                Some(Given { value, origin })
            }
            None => config.token.map(|value| Given { value, origin: Origin::File }),
        };
        let typed = flags.org.clone().map(|value| (value, Origin::Flag("--org")));
        let org = match typed.or_else(|| variable("IGNITE_ORG")) {
            Some((text, origin)) => {
                let value =
                    text.parse().map_err(|error: ignite_core_model::NameError| refused(origin, error.to_string()))?;
                Some(Given { value, origin })
            }
            None => config.org.map(|value| Given { value, origin: Origin::File }),
        };
        let timeout = match &flags.timeout {
            None => TIMEOUT,
            Some(text) => duration(text).filter(|time| !time.is_zero() && *time <= TIMEOUT_MAX).ok_or_else(|| {
                refused(Origin::Flag("--timeout"), format!("`{text}` is not a time up to 24h"))
                    .hint("write 30s, 5m or 1h")
            })?,
        };
        let roots = env("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self { endpoint, token, org, timeout, roots, file })
    }

    /// Somebody to ask with this token.
    pub(crate) fn client_with(&self, token: &Secret<String>) -> Result<Client, CliError> {
        let tls = client::tls(self.roots.as_deref())?;
        Ok(Client::new(self.endpoint.value.clone(), token, self.timeout, tls))
    }

    /// Somebody to ask with.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let token = self.token.as_ref().ok_or_else(|| {
            CliError::new(Exit::Unauthenticated, format!("could not ask {}", self.endpoint.value))
                .because("there is no token")
                .hint("`ignite login` stores one, IGNITE_TOKEN gives one, and the first start of `ignite serve` prints one")
        })?;
        self.client_with(&token.value)
    }

    /// The app that a text means, as the API takes it. Without an organisation it is the token's.
    pub(crate) fn app(&self, text: &str) -> Result<String, CliError> {
        let refused = |error: ignite_core_model::NameError| {
            CliError::new(Exit::InvalidArgument, format!("could not take `{text}` for an app")).caused_by(&error)
        };
        if text.contains(['/', ':']) {
            return text.parse::<FunctionId>().map(|id| id.to_string()).map_err(refused);
        }
        let name: AppName = text.parse().map_err(refused)?;
        Ok(match &self.org {
            Some(org) => FunctionId::new(&org.value, &name).to_string(),
            None => name.to_string(),
        })
    }
}

/// A time as people write it: `90s`, `5m`, `12h`, `90d`. A number alone is seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    match text.trim().parse::<u64>() {
        Ok(secs) => Some(Duration::from_secs(secs)),
        Err(_) => humantime::parse_duration(text.trim()).ok(),
    }
}

/// A new ULID, by which the platform knows a request that is sent again.
pub(crate) fn new_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    ignite_core_model::JobId::from_parts(ms, rand::random()).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::Arc;

    use super::*;

    fn resolve(
        flags: Flags,
        vars: &'static [(&'static str, &'static str)],
        config: Config,
    ) -> Result<Connection, CliError> {
        let env: Env =
            Arc::new(move |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()));
        Connection::resolve(&flags, &env, config, PathBuf::new())
    }

    fn config() -> Config {
        Config {
            api_endpoint: Some("file.example.io".parse().unwrap()),
            token: Some(Secret::new("file".to_owned())),
            org: Some("filed".parse().unwrap()),
        }
    }

    fn shown(connection: &Connection) -> String {
        let token = connection.token.as_ref().map(|token| (token.value.reveal().as_str(), token.origin.to_string()));
        let org = connection.org.as_ref().map(|org| (org.value.as_str(), org.origin.to_string()));
        format!("{} ({}) {token:?} {org:?}", connection.endpoint.value, connection.endpoint.origin)
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let flags = Flags {
            api_endpoint: Some("flag.example.io".to_owned()),
            token: Some(Secret::new("flag".to_owned())),
            ..Flags::default()
        };
        let vars = &[("IGNITE_TOKEN", "env"), ("IGNITE_API_ENDPOINT", "env.example.io"), ("IGNITE_ORG", "enved")];
        expect_test::expect![[
            r#"https://flag.example.io (--api-endpoint) Some(("flag", "--token")) Some(("enved", "IGNITE_ORG"))"#
        ]]
        .assert_eq(&shown(&resolve(flags, vars, config()).unwrap()));
        expect_test::expect![[r#"https://env.example.io (IGNITE_API_ENDPOINT) Some(("env", "IGNITE_TOKEN")) Some(("enved", "IGNITE_ORG"))"#]]
            .assert_eq(&shown(&resolve(Flags::default(), vars, config()).unwrap()));
        expect_test::expect![[
            r#"https://file.example.io (configuration) Some(("dodil", "DODIL_TOKEN")) Some(("filed", "configuration"))"#
        ]]
        .assert_eq(&shown(&resolve(Flags::default(), &[("DODIL_TOKEN", "dodil")], config()).unwrap()));
        expect_test::expect!["http://127.0.0.1:7070 (default) None None"]
            .assert_eq(&shown(&resolve(Flags::default(), &[("IGNITE_TOKEN", "")], Config::default()).unwrap()));
    }

    #[test]
    fn an_app_is_named_in_three_ways() {
        let mut connection = resolve(Flags::default(), &[], config()).unwrap();
        for (text, app) in [("hello", "filed/hello"), ("acme:hello", "acme/hello"), ("acme/hello", "acme/hello")] {
            assert_eq!(connection.app(text).unwrap(), app);
        }
        connection.org = None;
        assert_eq!(connection.app("hello").unwrap(), "hello");
        for bad in ["Hello", "a/b/c", "", ":x"] {
            assert_eq!(connection.app(bad).unwrap_err().exit, Exit::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (flags, vars, what) in [
            (Flags { timeout: Some("soon".to_owned()), ..Flags::default() }, &[][..], "could not use --timeout"),
            (Flags::default(), &[("IGNITE_ORG", "A B")][..], "could not use IGNITE_ORG"),
            (Flags::default(), &[("IGNITE_TOKEN", "hunter2 x")][..], "could not use IGNITE_TOKEN"),
            (Flags::default(), &[("IGNITE_API_ENDPOINT", "ftp://x")][..], "could not use IGNITE_API_ENDPOINT"),
        ] {
            let error = resolve(flags, vars, Config::default()).unwrap_err();
            assert_eq!((error.exit, error.what.as_str()), (Exit::InvalidArgument, what));
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        assert_eq!(
            [duration("90"), duration("5m"), duration("x")],
            [Some(Duration::from_secs(90)), Some(Duration::from_secs(300)), None]
        );
    }

    #[test]
    fn ids_differ() {
        assert_ne!(new_id(), new_id());
        new_id().parse::<ignite_core_model::JobId>().unwrap();
    }
}
