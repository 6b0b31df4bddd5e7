//! What the errors of the SDK mean.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::http::HttpError;
use crate::redact;
use crate::source::SourceError;

/// An error of the SDK as one of its service. `remedy` says what to grant when a permission is missing.
pub(crate) fn failure<E>(service: &'static str, error: SdkError<E, HttpResponse>, remedy: &str) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(context) = &error {
        let status = context.raw().status().as_u16();
        let meta = context.err().meta();
        return refused(service, status, meta.code(), meta.message(), remedy);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(unanswered) = inner.downcast_ref::<HttpError>() {
            return crate::api::unanswered(service, unanswered);
        }
        if let Some(assumed) = inner.downcast_ref::<AssumeRoleError>() {
            let remedy =
                "let the role's trust policy name these credentials and the external id that is configured";
            let meta = assumed.meta();
            return refused("aws_sts", 400, meta.code(), meta.message(), remedy);
        }
        if matches!(inner.downcast_ref::<CredentialsError>(), Some(CredentialsError::CredentialsNotLoaded(_)))
        {
            return SourceError::Unauthenticated {
                service,
                message: "there are no AWS credentials in the environment, the shared files or the metadata service; \
                          try: aws sts get-caller-identity"
                    .to_owned(),
            };
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let message = redact::text(&text, &[]);
    match error {
        SdkError::ResponseError(_) => SourceError::Incomplete { service, message },
        SdkError::TimeoutError(_) => SourceError::TimedOut { service, message },
        _ => SourceError::Refused { service, message },
    }
}

fn refused(
    service: &'static str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    remedy: &str,
) -> SourceError {
    let code = code.unwrap_or("no error code");
    let message = match message {
        Some(message) => format!("{code}: {}", redact::text(message, &[])),
        None => format!("{code} (status {status})"),
    };
    match code {
        "LimitExceededException"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => SourceError::Throttled { service, message },
        "AccessDenied" | "AccessDeniedException" | "OptInRequired" | "UnauthorizedOperation" => {
            SourceError::Denied { service, message, remedy: remedy.to_owned() }
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => SourceError::Unauthenticated { service, message },
        _ if status >= 500 => SourceError::Unreachable { service, message },
        _ => SourceError::Refused { service, message },
    }
}
