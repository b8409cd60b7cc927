//! Identifiers: one newtype a table, all UUIDv7 (they sort by time of creation).

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, sqlx::Type, serde::Serialize, serde::Deserialize)]
        #[sqlx(transparent)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later than every id made before it on this machine.
            #[allow(clippy::new_without_default, reason = "an id is made on purpose, never by default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Ok(Self(text.parse()?))
            }
        }
    )+};
}

ids! {
    /// An account.
    UserId,
    /// An app.
    AppId,
    /// One release of an app.
    ReleaseId,
    /// A built slug: code and dependencies of one build.
    SlugId,
    /// One build.
    BuildId,
    /// One uploaded source archive.
    SourceId,
    /// One snapshot of an app's config vars.
    ConfigSetId,
    /// One dyno: a container's life.
    DynoId,
    /// The formation row of one process type of one app.
    FormationId,
    /// A log drain.
    DrainId,
    /// An API token.
    TokenId,
    /// A login of a browser.
    SessionId,
    /// What one account may do with one app of another.
    CollaboratorId,
    /// An app on its way to another owner.
    TransferId,
    /// A host name of an app's own.
    DomainId,
    /// An address that is told what happens to an app.
    WebhookId,
    /// Something webhooks are told of.
    WebhookEventId,
    /// One event on its way to one webhook.
    WebhookDeliveryId,
    /// Apps in stages.
    PipelineId,
    /// An app's place in a pipeline.
    CouplingId,
    /// A slug on its way to other apps.
    PromotionId,
    /// One app that a promotion goes to.
    PromotionTargetId,
    /// An add-on.
    AddonId,
    /// An add-on under a name in an app.
    AttachmentId,
    /// One backup of a database.
    BackupId,
    /// A job of a scheduler.
    JobId,
}
