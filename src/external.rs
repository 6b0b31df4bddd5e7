//! What `externaldata` reads: files of the hosts that `external_hosts` names.

use async_trait::async_trait;
use bytes::Bytes;
use provost_connectors::{AddressError, ExternalFiles};
use provost_kql::{ExternalError, ExternalSource};

/// Fetches files for the engine.
#[derive(Debug)]
pub(crate) struct Files(pub(crate) ExternalFiles);

#[async_trait]
impl ExternalSource for Files {
    fn permit(&self, address: &str) -> Result<(), ExternalError> {
        match self.0.permit(address) {
            Ok(_) => Ok(()),
            Err(error) => {
                let advice = match &error {
                    AddressError::Host(host) => {
                        format!("to allow it, add \"{host}\" to external_hosts in provost.toml")
                    }
                    _ => return Err(ExternalError::new(error.to_string())),
                };
                Err(ExternalError::new(error.to_string()).with_help(advice))
            }
        }
    }

    async fn fetch(&self, address: &str, limit: usize) -> Result<Bytes, ExternalError> {
        self.0.fetch(address, limit).await.map_err(ExternalError::new)
    }
}
