//! Secrets that don't stand in the configuration.

use provost_model::Secret;

/// Secrets from the environment, or given by the program.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// The secret of the Azure application.
    pub azure_client_secret: Option<Secret>,
    /// AWS keys that go before the chain in which AWS tools look for credentials.
    pub aws: Option<AwsKeys>,
}

/// The keys of an AWS user or session.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// The access key's id, which is no secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The token of a session.
    pub session_token: Option<Secret>,
}

impl Secrets {
    /// The variable that holds the secret of the Azure application.
    pub const AZURE_CLIENT_SECRET: &str = "PROVOST_AZURE_CLIENT_SECRET";

    /// What the environment holds. The `AWS_…` variables are left to the chain of AWS, which reads them itself.
    pub fn from_env() -> Self {
        let azure_client_secret = std::env::var(Self::AZURE_CLIENT_SECRET)
            .ok()
            .filter(|secret| !secret.is_empty())
            .map(Secret::new);
        Self { azure_client_secret, aws: None }
    }
}
