//! One table from every owner's failures to a status, Heroku's error id and a sentence (heroku.md
//! 9.3). Matched without `_`: a new failure does not compile until it has its line here.

use std::io;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    accounts::AccountError,
    addons::{AddonError, BackupError, JobError},
    apps::AppError,
    builder::BuildError,
    connections::ConnectionError,
    domain::{AppNameError, config_var::ConfigVarError, formation::ProcessTypeError},
    domains::DomainError,
    dynos::DynoError,
    github::GitHostError,
    hooks_out::WebhookError,
    logs::drains::DrainError,
    pipelines::PipelineError,
    plans::PlanError,
    releases::ReleaseError,
    repositories::RepositoryError,
    store::StoreError,
};

/// What went wrong, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    /// Heroku's word: `not_found`, `invalid_params`.
    pub id: &'static str,
    /// A sentence the user can act on. Never an inner detail of ours.
    pub message: String,
    /// With `not_found`: what was not found (`app`, `release`).
    pub resource: Option<&'static str>,
    /// Seconds until another try makes sense.
    pub retry_after: Option<u64>,
}

impl Fault {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Fault {
        Fault { status, id, message: message.into(), resource: None, retry_after: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn unauthorized() -> Fault {
        Fault::new(StatusCode::UNAUTHORIZED, "unauthorized", "Invalid credentials provided.")
    }

    pub fn forbidden(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// `resource` in Heroku's words, with spaces: `app`, `add_on attachment`.
    pub fn not_found(resource: &'static str) -> Fault {
        let words = resource.replace('_', " ");
        Fault { resource: Some(resource), ..Fault::new(StatusCode::NOT_FOUND, "not_found", format!("Couldn't find that {words}.")) }
    }

    /// No such address at all.
    pub fn no_route() -> Fault {
        Fault::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "The requested API endpoint was not found. Are you using the right HTTP verb and path?",
        )
    }

    pub fn conflict(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub fn invalid(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    pub fn range_not_satisfiable(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "requested_range_not_satisfiable", message)
    }

    pub fn rate_limited(message: impl Into<String>, retry_after: u64) -> Fault {
        Fault { retry_after: Some(retry_after), ..Fault::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", message) }
    }

    /// Ours, not theirs: logged here with its cause, told without it.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Fault {
        tracing::error!(error = cause, "a request failed");
        let message = "Something went wrong on the server. Try again; if it stays, give its administrator the request id.";
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", message)
    }

    fn disk_full() -> Fault {
        tracing::error!("the disk is full");
        Fault::unavailable("The disk of this server is full; nothing was changed. Its administrator must make room.")
    }

    fn unavailable(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
    }
}

impl IntoResponse for Fault {
    /// Plain text, with the fault inside for the edge's outermost layer to render.
    fn into_response(self) -> Response {
        let mut response = (self.status, self.message.clone()).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        if error.is_disk_full() { Fault::disk_full() } else { Fault::internal(&error) }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::StorageFull { Fault::disk_full() } else { Fault::internal(&error) }
    }
}

impl From<AppNameError> for Fault {
    fn from(error: AppNameError) -> Fault {
        Fault::invalid(error.to_string())
    }
}

impl From<ConfigVarError> for Fault {
    fn from(error: ConfigVarError) -> Fault {
        Fault::invalid(error.to_string())
    }
}

impl From<ProcessTypeError> for Fault {
    fn from(error: ProcessTypeError) -> Fault {
        Fault::invalid(error.to_string())
    }
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Fault {
        let message = error.to_string();
        match error {
            AccountError::CodeNeeded => Fault { id: "two_factor", ..Fault::forbidden(message) },
            AccountError::WrongCode | AccountError::WrongPassword => Fault::forbidden(message),
            AccountError::SecondFactorThere => Fault::conflict(message),
            AccountError::Secret(error) => Fault::internal(&error),
            AccountError::WrongCredentials => Fault { message, ..Fault::unauthorized() },
            AccountError::RateLimited(seconds) => Fault::rate_limited(message, seconds),
            AccountError::EmailTaken | AccountError::BadLink | AccountError::Password(_) | AccountError::BadEmail(_) => {
                Fault::invalid(message)
            }
            AccountError::SignUpClosed | AccountError::InviteNeeded | AccountError::BadClaim => Fault::forbidden(message),
            AccountError::AlreadyClaimed => Fault::conflict(message),
            AccountError::NoSuchUser => Fault::not_found("account"),
            AccountError::NoSuchToken => Fault::not_found("authorization"),
            AccountError::NotAnAccount(_) | AccountError::IsOwner => Fault::invalid(message),
            AccountError::NoSuchCollaborator => Fault::not_found("collaborator"),
            AccountError::Suspended => Fault { id: "suspended", ..Fault::forbidden(message) },
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<AppError> for Fault {
    fn from(error: AppError) -> Fault {
        let message = error.to_string();
        match error {
            AppError::NameTaken | AppError::TooMany(_) | AppError::TransferWaits | AppError::SameOwner => Fault::invalid(message),
            AppError::NoSuchTransfer => Fault::not_found("app_transfer"),
            AppError::NotSettled => Fault { status: StatusCode::CONFLICT, ..Fault::invalid(message) },
            AppError::NoSuchApp | AppError::NotInBin => Fault::not_found("app"),
            AppError::Release(error) => error.into(),
            AppError::Dynos(error) => error.into(),
            AppError::Addons(error) => error.into(),
            AppError::Build(error) => error.into(),
            AppError::Repository(error) => error.into(),
            AppError::Store(error) => error.into(),
        }
    }
}

impl From<DomainError> for Fault {
    fn from(error: DomainError) -> Fault {
        let message = error.to_string();
        match error {
            DomainError::Hostname(_) | DomainError::Taken(_) | DomainError::TooMany => Fault::invalid(message),
            DomainError::NoSuchDomain => Fault { message, ..Fault::not_found("domain") },
            DomainError::Dynos(error) => error.into(),
            DomainError::Store(error) => error.into(),
        }
    }
}

impl From<PipelineError> for Fault {
    fn from(error: PipelineError) -> Fault {
        let message = error.to_string();
        match error {
            PipelineError::Invalid(_)
            | PipelineError::NameTaken
            | PipelineError::AlreadyCoupled
            | PipelineError::NotInPipeline(_)
            | PipelineError::NothingToPromote
            | PipelineError::NoTarget => Fault::invalid(message),
            PipelineError::NoSuchPipeline => Fault::not_found("pipeline"),
            PipelineError::Release(error) => error.into(),
            PipelineError::Store(error) => error.into(),
        }
    }
}

impl From<ReleaseError> for Fault {
    fn from(error: ReleaseError) -> Fault {
        let message = error.to_string();
        match error {
            ReleaseError::NoSuchApp => Fault::not_found("app"),
            ReleaseError::NoSuchRelease => Fault::not_found("release"),
            ReleaseError::NotEligible(_) | ReleaseError::NotKept(_) | ReleaseError::OwnedByAddon(_) => Fault::invalid(message),
            ReleaseError::Config(error) => error.into(),
            ReleaseError::Phase(_) => Fault::invalid(message),
            ReleaseError::Dynos(error) => error.into(),
            ReleaseError::Sealed => Fault::internal(&error),
            ReleaseError::Store(error) => error.into(),
        }
    }
}

impl From<DynoError> for Fault {
    fn from(error: DynoError) -> Fault {
        let message = error.to_string();
        match error {
            DynoError::NoSuchProcessType(_) => Fault { message, ..Fault::not_found("formation") },
            DynoError::NoSuchDyno => Fault::not_found("dyno"),
            DynoError::NoSuchApp => Fault::not_found("app"),
            DynoError::TooManyOfType { .. }
            | DynoError::TooManyTypes { .. }
            | DynoError::Resting { .. }
            | DynoError::NoCode
            | DynoError::OneOff(_) => Fault::invalid(message),
            DynoError::NoRoom(_) | DynoError::DidNotBoot(_) | DynoError::Superseded(_) => Fault::unavailable(message),
            DynoError::Engine(error) => Fault::internal(&error),
            DynoError::Network(error) => Fault::internal(&error),
            DynoError::Store(error) => error.into(),
        }
    }
}

impl From<DrainError> for Fault {
    fn from(error: DrainError) -> Fault {
        let message = error.to_string();
        match error {
            DrainError::NoSuchDrain => Fault::not_found("log_drain"),
            DrainError::TooMany | DrainError::Taken | DrainError::Address(_) | DrainError::Refused(_) => Fault::invalid(message),
            DrainError::Sealed(_) => Fault::internal(&error),
            DrainError::Store(error) => error.into(),
        }
    }
}

impl From<WebhookError> for Fault {
    fn from(error: WebhookError) -> Fault {
        let message = error.to_string();
        match error {
            WebhookError::NoSuchWebhook => Fault::not_found("webhook"),
            WebhookError::NoSuchEvent => Fault::not_found("webhook_event"),
            WebhookError::NoSuchDelivery => Fault::not_found("webhook_delivery"),
            WebhookError::TooMany | WebhookError::BadUrl | WebhookError::Invalid(_) | WebhookError::Refused(_) => Fault::invalid(message),
            WebhookError::Sealed(_) => Fault::internal(&error),
            WebhookError::Store(error) => error.into(),
        }
    }
}

impl From<GitHostError> for Fault {
    fn from(error: GitHostError) -> Fault {
        let message = error.to_string();
        match error {
            GitHostError::Unauthorized | GitHostError::Forbidden(_) => Fault::forbidden(message),
            GitHostError::NotFound => Fault { message, ..Fault::not_found("repository") },
            GitHostError::RateLimited(seconds) => Fault { retry_after: Some(seconds), ..Fault::unavailable(message) },
            GitHostError::Refused(_) | GitHostError::Oauth(_) => Fault::invalid(message),
            GitHostError::Unreachable(_) | GitHostError::NoAuthorities => Fault::unavailable(message),
        }
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Fault {
        let message = error.to_string();
        match error {
            ConnectionError::NotSetUp | ConnectionError::SetByEnvironment | ConnectionError::Taken => Fault::conflict(message),
            ConnectionError::BadState => Fault::forbidden(message),
            ConnectionError::NotConnected | ConnectionError::Invalid(_) => Fault::invalid(message),
            ConnectionError::Host(error) => error.into(),
            ConnectionError::Sealed(error) => Fault::internal(&error),
            ConnectionError::Store(error) => error.into(),
        }
    }
}

impl From<RepositoryError> for Fault {
    fn from(error: RepositoryError) -> Fault {
        let message = error.to_string();
        match error {
            RepositoryError::NotLinked | RepositoryError::NoSuchBranch(_) | RepositoryError::BadName(_) => Fault::invalid(message),
            RepositoryError::NotAdmin(_) | RepositoryError::Private(_) => Fault::forbidden(message),
            RepositoryError::NoSuchDelivery => Fault::not_found("delivery"),
            RepositoryError::Connection(error) => error.into(),
            RepositoryError::Build(error) => error.into(),
            RepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<AddonError> for Fault {
    fn from(error: AddonError) -> Fault {
        let message = error.to_string();
        match error {
            AddonError::NoSuchAddon => Fault::not_found("add_on"),
            AddonError::NoSuchAttachment => Fault::not_found("add_on attachment"),
            AddonError::NoSuchPlan(_) => Fault { message, ..Fault::not_found("plan") },
            AddonError::NotOffered | AddonError::ServerDown => Fault::unavailable(message),
            AddonError::TooMany(_)
            | AddonError::NameTaken
            | AddonError::AttachmentTaken(_)
            | AddonError::BadName
            | AddonError::AttachmentName(_) => Fault::invalid(message),
            AddonError::NotADatabase(_) => Fault::not_found("add_on"),
            AddonError::NothingToAttach | AddonError::NoSuchPolicy(_) => Fault::invalid(message),
            AddonError::Busy(_) => Fault::conflict(message),
            AddonError::Dump(_) | AddonError::Load(_) => Fault::invalid(message),
            AddonError::Sql(error) => Fault::internal(&error),
            AddonError::Sealed => Fault::internal(&error),
            AddonError::Release(error) => error.into(),
            AddonError::Engine(error) => Fault::internal(&error),
            AddonError::Network(error) => Fault::internal(&error),
            AddonError::Io(error) => error.into(),
            AddonError::Store(error) => error.into(),
        }
    }
}

impl From<JobError> for Fault {
    fn from(error: JobError) -> Fault {
        let message = error.to_string();
        match error {
            JobError::NoSuchJob => Fault { message, ..Fault::not_found("job") },
            JobError::TooMany(_) | JobError::Fault(_) => Fault::invalid(message),
            JobError::Addon(error) => error.into(),
        }
    }
}

impl From<BackupError> for Fault {
    fn from(error: BackupError) -> Fault {
        let message = error.to_string();
        match error {
            BackupError::NoSuchBackup => Fault { message, ..Fault::not_found("backup") },
            BackupError::NotGood(_) | BackupError::Schedule(_) | BackupError::Address(_) => Fault::invalid(message),
            BackupError::Unfinished(_) | BackupError::TooMany(_) | BackupError::Cancelled => Fault::conflict(message),
            BackupError::Dump(_)
            | BackupError::Restore(_)
            | BackupError::Corrupt
            | BackupError::Counts { .. }
            | BackupError::Fetch(_)
            | BackupError::TooSlow(_)
            | BackupError::NoRoom(_) => Fault::unavailable(message),
            BackupError::Addon(error) => error.into(),
            BackupError::Io(error) => Fault::internal(&error),
        }
    }
}

impl From<PlanError> for Fault {
    fn from(error: PlanError) -> Fault {
        let message = error.to_string();
        match error {
            PlanError::NoSuchPlan(_) => Fault { message, ..Fault::not_found("plan") },
            PlanError::NoSuchApp => Fault::not_found("app"),
            PlanError::NoSuchAccount => Fault::not_found("account"),
            PlanError::Free | PlanError::Fault(_) => Fault::invalid(message),
            PlanError::InUse { .. } => Fault::conflict(message),
            PlanError::Store(error) => error.into(),
        }
    }
}

impl From<BuildError> for Fault {
    fn from(error: BuildError) -> Fault {
        let message = error.to_string();
        match error {
            BuildError::NoSuchBuild => Fault::not_found("build"),
            BuildError::NoSuchSource => Fault { message, ..Fault::not_found("source") },
            BuildError::NotUploaded
            | BuildError::Rejected(_)
            | BuildError::TimedOut(_)
            | BuildError::Silent(_)
            | BuildError::SlugTooLarge(_) => Fault::invalid(message),
            BuildError::TooLarge(_) => Fault { status: StatusCode::PAYLOAD_TOO_LARGE, ..Fault::invalid(message) },
            BuildError::NoRoom(_) => Fault::unavailable(message),
            BuildError::AlreadyUploaded | BuildError::Cancelled | BuildError::Overtaken(_) => Fault::conflict(message),
            BuildError::Engine(error) => Fault::internal(&error),
            BuildError::Slug(error) => Fault::internal(&error),
            BuildError::Network(error) => Fault::internal(&error),
            BuildError::Release(error) => error.into(),
            BuildError::Connection(error) => error.into(),
            BuildError::Io(error) => error.into(),
            BuildError::Store(error) => error.into(),
        }
    }
}
