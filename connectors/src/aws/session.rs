//! Which accounts there are, and sessions in them.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use tokio::sync::{Mutex, OnceCell};

use super::adapter::Adapter;
use super::failure;
use crate::config::{AwsAccount, AwsConfig};
use crate::http::HttpClient;
use crate::limit::LimitKey;
use crate::secrets::{AwsKeys, Secrets};
use crate::source::SourceError;

/// What a session may do, whatever else its role allows.
const SESSION_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ce:GetCostAndUsage","cloudtrail:LookupEvents"],"Resource":"*"}]}"#;

/// Sessions are replaced this long before they end.
const MARGIN: Duration = Duration::from_secs(300);

/// An account that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) regions: Vec<String>,
    role: Option<AwsAccount>,
}

/// The accounts, and who asks there.
pub(crate) struct AwsContext {
    config: AwsConfig,
    http: HttpClient,
    keys: Option<AwsKeys>,
    base: OnceCell<SdkConfig>,
    accounts: OnceCell<Vec<Account>>,
    /// The credentials of each account, so that its regions and services share one session.
    sessions: Mutex<HashMap<String, (SharedCredentialsProvider, SharedIdentityCache)>>,
}

impl AwsContext {
    pub(crate) fn new(config: &AwsConfig, http: &HttpClient, secrets: &Secrets) -> Result<Self, String> {
        for account in &config.accounts {
            account_of(&account.role_arn)?;
        }
        if config.regions.is_empty() {
            return Err("aws.regions: name at least one".to_owned());
        }
        if !(900..=43_200).contains(&config.session_seconds) {
            return Err(format!("aws.session_seconds = {}: from 900 to 43200", config.session_seconds));
        }
        Ok(Self {
            config: config.clone(),
            http: http.clone(),
            keys: secrets.aws.clone(),
            base: OnceCell::new(),
            accounts: OnceCell::new(),
            sessions: Mutex::new(HashMap::new()),
        })
    }

    /// The accounts: those that are configured, or the one of the credentials.
    pub(crate) async fn accounts(&self) -> Result<&[Account], SourceError> {
        let accounts = self.accounts.get_or_try_init(|| async {
            if self.config.accounts.is_empty() {
                let id = self.caller().await?;
                return Ok(vec![Account { id, regions: self.config.regions.clone(), role: None }]);
            }
            let accounts = self.config.accounts.iter().map(|account| {
                let regions =
                    if account.regions.is_empty() { &self.config.regions } else { &account.regions };
                Ok(Account {
                    id: account_of(&account.role_arn)?,
                    regions: regions.clone(),
                    role: Some(account.clone()),
                })
            });
            accounts.collect::<Result<Vec<_>, String>>().map_err(SourceError::Config)
        });
        accounts.await.map(Vec::as_slice)
    }

    /// The account that the credentials themselves belong to.
    pub(crate) async fn caller(&self) -> Result<String, SourceError> {
        let client = aws_sdk_sts::Client::new(self.base().await);
        let identity = client.get_caller_identity().send().await;
        let identity = identity.map_err(|error| failure("aws_sts", error, "aws sts get-caller-identity"))?;
        identity.account().map(str::to_owned).ok_or_else(|| SourceError::Incomplete {
            service: "aws_sts",
            message: "GetCallerIdentity named no account".to_owned(),
        })
    }

    /// What the SDK needs for a service in an account's region.
    pub(crate) async fn sdk_config(
        &self,
        account: &Account,
        region: &str,
        service: &'static str,
        limit: Option<LimitKey>,
    ) -> SdkConfig {
        let base = self.base().await;
        let mut builder = base.to_builder();
        builder.set_region(Some(Region::new(region.to_owned())));
        builder.set_http_client(Some(self.adapter(service, limit)));
        if let Some(role) = &account.role {
            let (credentials, cache) = self.session(base, role).await;
            builder.set_credentials_provider(Some(credentials));
            builder.set_identity_cache(Some(cache));
        }
        builder.build()
    }

    /// Drops an account's session, which the services do not accept any more.
    pub(crate) async fn forget_session(&self, account: &Account) {
        if let Some(role) = &account.role {
            self.sessions.lock().await.remove(&role.role_arn);
        }
    }

    async fn session(
        &self,
        base: &SdkConfig,
        role: &AwsAccount,
    ) -> (SharedCredentialsProvider, SharedIdentityCache) {
        let mut sessions = self.sessions.lock().await;
        if let Some(session) = sessions.get(&role.role_arn) {
            return session.clone();
        }
        let mut provider = AssumeRoleProvider::builder(&role.role_arn)
            .session_name(&self.config.session_name)
            .session_length(Duration::from_secs(self.config.session_seconds.into()))
            .policy(SESSION_POLICY)
            .configure(base);
        if let Some(external_id) = &role.external_id {
            provider = provider.external_id(external_id);
        }
        let session = (SharedCredentialsProvider::new(provider.build().await), identity_cache());
        sessions.insert(role.role_arn.clone(), session.clone());
        session
    }

    async fn base(&self) -> &SdkConfig {
        self.base
            .get_or_init(|| async {
                let retry = self.http.retry();
                let home = self.config.regions.first().cloned().unwrap_or_default();
                let mut loader = aws_config::defaults(BehaviorVersion::latest())
                    .http_client(self.adapter("aws_sts", None))
                    .region(Region::new(home))
                    .identity_cache(identity_cache())
                    .retry_config(
                        RetryConfig::standard()
                            .with_max_attempts(retry.attempts)
                            .with_initial_backoff(retry.backoff)
                            .with_max_backoff(retry.max_backoff),
                    );
                // `provost` is a name that the SDK takes: letters only.
                if let Ok(name) = AppName::new("provost") {
                    loader = loader.app_name(name);
                }
                if let Some(profile) = &self.config.profile {
                    loader = loader.profile_name(profile);
                }
                if let Some(endpoint) = &self.config.endpoint {
                    loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
                }
                if let Some(keys) = &self.keys {
                    let token = keys.session_token.as_ref().map(|token| token.reveal().to_owned());
                    let secret = keys.secret_access_key.reveal();
                    loader = loader.credentials_provider(Credentials::new(
                        &keys.access_key_id,
                        secret,
                        token,
                        None,
                        "provost",
                    ));
                }
                loader.load().await
            })
            .await
    }

    fn adapter(
        &self,
        service: &'static str,
        limit: Option<LimitKey>,
    ) -> aws_smithy_runtime_api::client::http::SharedHttpClient {
        aws_smithy_runtime_api::client::http::SharedHttpClient::new(Adapter {
            http: self.http.clone(),
            service,
            limit,
            timeout: None,
        })
    }
}

impl fmt::Debug for AwsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsContext").field("config", &self.config).finish_non_exhaustive()
    }
}

fn identity_cache() -> SharedIdentityCache {
    SharedIdentityCache::new(aws_config::identity::IdentityCache::lazy().buffer_time(MARGIN).build())
}

/// The account in `arn:aws:iam::111122223333:role/name`.
fn account_of(role_arn: &str) -> Result<String, String> {
    let parts: Vec<&str> = role_arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, resource]
            if account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource.starts_with("role/") =>
        {
            Ok((*account).to_owned())
        }
        _ => Err(format!(
            "aws.accounts: '{role_arn}' is not the ARN of a role, such as arn:aws:iam::111122223333:role/provost"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_the_arn_of_the_role() {
        assert_eq!(account_of("arn:aws-cn:iam::111122223333:role/a/b"), Ok("111122223333".to_owned()));
        for wrong in ["", "arn:aws:iam::1111:role/x", "arn:aws:iam::111122223333:user/x", "provost"] {
            assert!(account_of(wrong).is_err(), "{wrong}");
        }
    }
}
