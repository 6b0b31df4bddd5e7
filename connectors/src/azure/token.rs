//! Tokens: got through `azure_identity`, kept until shortly before they expire, replaced when a service refuses one.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport as AzureTransport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use provost_model::Secret;
use tokio::sync::Mutex;
use url::Url;

use crate::azure::transport::Transport;
use crate::config::{AzureConfig, AzureCredential};
use crate::http::{HttpClient, HttpError};
use crate::redact;
use crate::secrets::Secrets;
use crate::source::SourceError;

const SERVICE: &str = "azure_token";

/// A token is replaced this long before it expires, or after half its life where that is short.
const MARGIN: Duration = Duration::from_secs(300);

/// The tokens of one credential, by scope.
pub(crate) struct Tokens {
    tenant: String,
    credential: AzureCredential,
    client_secret: Option<Secret>,
    authority: Url,
    http: HttpClient,
    /// One lock for all scopes: who waits for a token needs the same one, or the same credential.
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    token: Secret,
    fresh_until: SystemTime,
    expires: SystemTime,
}

impl Tokens {
    pub(super) fn new(config: &AzureConfig, authority: Url, http: HttpClient, secrets: &Secrets) -> Self {
        Self {
            tenant: config.tenant.clone(),
            credential: config.credential.clone(),
            client_secret: secrets.azure_client_secret.clone(),
            authority,
            http,
            kept: Mutex::new(HashMap::new()),
        }
    }

    /// A token for the scope; another one than `refused`, which the service did not accept.
    pub(crate) async fn get(&self, scope: &str, refused: Option<&Secret>) -> Result<Secret, SourceError> {
        let mut kept = self.kept.lock().await;
        let usable = kept.get(scope).filter(|kept| Some(&kept.token) != refused);
        let now = SystemTime::now();
        if let Some(kept) = usable.filter(|kept| kept.fresh_until > now) {
            return Ok(kept.token.clone());
        }
        match self.fetch(scope).await {
            Ok(fetched) => {
                let token = fetched.token.clone();
                kept.insert(scope.to_owned(), fetched);
                Ok(token)
            }
            // A token that is still good for a while beats a failure to replace it.
            Err(error) => match usable.filter(|kept| kept.expires > now) {
                Some(kept) => {
                    tracing::warn!(%error, "keeping the token that is about to expire");
                    Ok(kept.token.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Asks for a token with a new credential object: the ones of `azure_identity` keep their tokens to themselves.
    async fn fetch(&self, scope: &str) -> Result<Kept, SourceError> {
        let secret = self.secret()?;
        let hidden: Vec<&str> = secret.iter().map(Secret::reveal).collect();
        let failed = |error: azure_core::Error| self.failure(&error, &hidden);
        let credential = self.credential(secret.as_ref()).map_err(failed)?;
        let AccessToken { token, expires_on, .. } =
            credential.get_token(&[scope], None).await.map_err(failed)?;
        let now = SystemTime::now();
        let left = expires_on.unix_timestamp() - chrono::Utc::now().timestamp();
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        Ok(Kept {
            token: Secret::new(token.secret()),
            fresh_until: now + left.saturating_sub(MARGIN).max(left / 2),
            expires: now + left,
        })
    }

    fn secret(&self) -> Result<Option<Secret>, SourceError> {
        match &self.credential {
            AzureCredential::ClientSecret { secret_file: Some(path), .. } => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    SourceError::Config(format!("azure.credential.secret_file {}: {error}", path.display()))
                })?;
                Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
            }
            AzureCredential::ClientSecret { .. } => match &self.client_secret {
                Some(secret) => Ok(Some(secret.clone())),
                None => Err(SourceError::Config(format!(
                    "azure.credential: the client secret is missing; set {} or secret_file",
                    Secrets::AZURE_CLIENT_SECRET
                ))),
            },
            _ => Ok(None),
        }
    }

    fn credential(&self, secret: Option<&Secret>) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match &self.credential {
            AzureCredential::AzureCli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id: Some(self.tenant.clone()),
                ..Default::default()
            }))?,
            AzureCredential::ClientSecret { client_id, .. } => ClientSecretCredential::new(
                &self.tenant,
                client_id.clone(),
                secret.map(Secret::reveal).unwrap_or_default().to_owned().into(),
                Some(ClientSecretCredentialOptions { client_options: self.options(true) }),
            )?,
            AzureCredential::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: self.options(false),
                }))?
            }
            AzureCredential::WorkloadIdentity { client_id, token_file } => {
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: self.options(true),
                    },
                    client_id: client_id.clone(),
                    tenant_id: Some(self.tenant.clone()),
                    token_file_path: token_file.clone(),
                }))?
            }
        })
    }

    fn options(&self, retries: bool) -> ClientOptions {
        let transport = Transport { http: self.http.clone(), retries };
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.authority.to_string();
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(AzureTransport::new(Arc::new(transport))),
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            ..Default::default()
        }
    }

    fn failure(&self, error: &azure_core::Error, secrets: &[&str]) -> SourceError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(unanswered) = inner.downcast_ref::<HttpError>() {
                return crate::api::unanswered(SERVICE, unanswered);
            }
            cause = inner.source();
        }
        let text = error.to_string();
        let one_line: Vec<&str> = text.split_whitespace().collect();
        let remedy = match &self.credential {
            AzureCredential::AzureCli => format!("; sign in: az login --tenant {}", self.tenant),
            _ => String::new(),
        };
        let message = format!("{}{remedy}", redact::text(&one_line.join(" "), secrets));
        SourceError::Unauthenticated { service: SERVICE, message }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("tenant", &self.tenant)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}
