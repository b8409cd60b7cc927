//! Following branches: from what was delivered, and from asking each minute, to a build of the head.
//! Level, not edge: a delivery only says that there is something to look at.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use crate::{
    connections::ConnectionError,
    domain::{
        AppId, BranchName, BuildId, BuildStatus, Timestamp,
        git::{CiState, Decision, Head, Verdict, judge},
        user::Actor,
    },
    fail_point,
    github::{GitHostError, HeadAnswer, client::CONTEXT},
    repositories::{Delivery, Link, Repositories, RepositoryError},
    store::deliveries::NewDelivery,
};

/// How often a followed branch is asked for.
pub const EVERY: Duration = Duration::from_secs(60);
/// The same without anybody's access: the host allows 60 such questions an hour.
const EVERY_PUBLIC: Duration = Duration::from_secs(300);
/// Branches asked for at the same time.
const AT_ONCE: usize = 4;
/// The host may send a delivery again for three days.
const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 3600);

/// What the host says of a followed branch.
enum Seen {
    Unchanged,
    Head {
        head: Head,
        etag: Option<String>,
    },
    BranchGone,
    RepositoryGone,
    Revoked,
    Forbidden,
    /// Not now.
    Unreachable,
}

impl Repositories {
    /// Looks at every app that has something new or is due. Looks at no app twice at once.
    pub async fn look(&self) {
        let apps = match self.due().await {
            Ok(apps) => apps,
            Err(error) => return tracing::error!(%error, "deliveries could not be read"),
        };
        stream::iter(apps)
            .for_each_concurrent(AT_ONCE, |app| async move {
                if let Err(error) = self.look_at(app).await {
                    tracing::warn!(%app, %error, "a followed branch could not be looked at");
                }
            })
            .await;
    }

    async fn due(&self) -> Result<Vec<AppId>, RepositoryError> {
        let now = self.parts.clock.now();
        self.parts.writer.sweep_deliveries(now - REMEMBERED).await?;
        let mut apps = self.parts.reader.apps_with_new_deliveries().await?;
        apps.extend(self.parts.reader.links_due(now - EVERY, now - EVERY_PUBLIC).await?);
        apps.sort();
        apps.dedup();
        Ok(apps)
    }

    async fn look_at(&self, app: AppId) -> Result<(), RepositoryError> {
        let open = self.parts.reader.open_deliveries(app).await?;
        let link = self.parts.reader.link(app).await?;
        let Some((link, branch)) = link.and_then(|link| link.branch.clone().map(|branch| (link, branch))) else {
            return self.settle(app, &open, (Verdict::Off, None)).await;
        };
        let now = self.parts.clock.now();
        match self.ask(&link, &branch).await? {
            Seen::Unchanged => {
                self.parts.writer.note_head(app, None, link.etag.as_deref(), now).await?;
                self.settle(app, &open, (Verdict::Known, None)).await
            }
            Seen::Head { head, etag } => self.decide(&link, &branch, (&head, etag.as_deref()), &open).await,
            Seen::BranchGone => self.refuse(&link, &open, (Verdict::BranchDeleted, "branch_gone")).await,
            Seen::RepositoryGone if self.parts.connections.is_app().await? => {
                self.refuse(&link, &open, (Verdict::Refused, "uninstalled")).await
            }
            Seen::RepositoryGone => self.refuse(&link, &open, (Verdict::Refused, "gone")).await,
            Seen::Revoked => self.refuse(&link, &open, (Verdict::Refused, "revoked")).await,
            Seen::Forbidden => self.refuse(&link, &open, (Verdict::Refused, "forbidden")).await,
            Seen::Unreachable => self.refuse(&link, &open, (Verdict::Unreachable, &link.trouble)).await,
        }
    }

    async fn refuse(&self, link: &Link, open: &[Delivery], (verdict, trouble): (Verdict, &str)) -> Result<(), RepositoryError> {
        self.parts.writer.note_asked(link.app_id, Some(self.parts.clock.now()), trouble).await?;
        self.settle(link.app_id, open, (verdict, None)).await
    }

    /// Asks for the head. Where it is not there, or is new, the repository is looked at by its id: it
    /// may have another name, and somebody else may have taken the name it had.
    async fn ask(&self, link: &Link, branch: &BranchName) -> Result<Seen, RepositoryError> {
        let mut link = link.clone();
        for _ in 0..2 {
            let (github, name, wanted, etag) = (self.parts.github.clone(), link.name.clone(), branch.clone(), link.etag.clone());
            let asked = self.with_access(link.user_id, |access| async move { github.head(access, name, wanted, etag).await }).await;
            let seen = match asked {
                Ok(HeadAnswer::Unchanged) => return Ok(Seen::Unchanged),
                Ok(HeadAnswer::Now { head, etag }) => Seen::Head { head, etag },
                Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::NotFound))) => Seen::BranchGone,
                Err(error) => return unusual(error),
            };
            if matches!(&seen, Seen::Head { head, .. } if link.decided_sha.as_ref() == Some(&head.sha)) {
                return Ok(seen);
            }
            match self.current(&link).await {
                Ok(now) if now.name == link.name => return Ok(seen),
                Ok(now) => link = now,
                Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::NotFound))) => return Ok(Seen::RepositoryGone),
                Err(error) => return unusual(error),
            }
        }
        Ok(Seen::Unreachable)
    }

    async fn decide(
        &self,
        link: &Link,
        branch: &BranchName,
        (head, etag): (&Head, Option<&str>),
        open: &[Delivery],
    ) -> Result<(), RepositoryError> {
        let (app, now) = (link.app_id, self.parts.clock.now());
        // A new name was learned: what follows uses it.
        let link = &self.parts.reader.link(app).await?.ok_or(RepositoryError::NotLinked)?;
        let ci = match self.checks(link, head).await {
            Ok(ci) => ci,
            Err(error) => match unusual(error)? {
                Seen::Revoked => return self.refuse(link, open, (Verdict::Refused, "revoked")).await,
                _ => return self.refuse(link, open, (Verdict::Unreachable, "")).await,
            },
        };
        let decision = judge(head, link.decided_sha.as_ref(), ci);
        if decision != Decision::Done(Verdict::Known) && !open.iter().any(|delivery| delivery.sha == head.sha.as_str()) {
            self.note_found(app, branch, head).await?;
        }
        let (verdict, build) = match decision {
            Decision::Done(verdict) => (verdict, None),
            Decision::Wait(verdict) => {
                // Without its etag the head is asked for in full again.
                self.parts.writer.note_head(app, None, None, now).await?;
                return self.settle_for(link, head, (verdict, None)).await;
            }
            Decision::Deploy => (Verdict::Deployed, Some(self.deploy_head(link, branch, head).await?)),
        };
        fail_point::reached("delivery.queued");
        self.parts.writer.note_head(app, Some(&head.sha), etag, now).await?;
        self.settle_for(link, head, (verdict, build)).await
    }

    /// What the commit's checks say, if the app waits for them.
    async fn checks(&self, link: &Link, head: &Head) -> Result<Option<CiState>, RepositoryError> {
        if !link.wait_for_ci || link.decided_sha.as_ref() == Some(&head.sha) || head.asks_to_skip() {
            return Ok(None);
        }
        let (github, name, sha) = (self.parts.github.clone(), link.name.clone(), head.sha.clone());
        let state = self.with_access(link.user_id, |access| async move { github.ci(access, name, sha, CONTEXT.to_owned()).await }).await?;
        Ok(Some(state))
    }

    /// Queues a build of the head in place of an older one that waits. One that was queued already,
    /// before the server died, is taken as it is.
    async fn deploy_head(&self, link: &Link, branch: &BranchName, head: &Head) -> Result<BuildId, RepositoryError> {
        let app = link.app_id;
        let newest = self.parts.reader.builds(app, 1).await?.into_iter().next();
        let same = newest.filter(|build| {
            build.source_version.as_deref() == Some(head.sha.as_str())
                && !matches!(build.status, BuildStatus::Failed | BuildStatus::Cancelled)
        });
        if let Some(build) = same.filter(|build| !build.status.is_finished()) {
            return Ok(build.id);
        }
        let by = self.actor(link).await?;
        if link.supersede {
            self.parts.builder.cancel_all(app).await?;
        }
        for replaced in self.parts.builder.replace_waiting(app).await? {
            self.parts.writer.supersede_deliveries(replaced, self.parts.clock.now()).await?;
        }
        Ok(self.build(link, branch, head, (&by, true)).await?.id)
    }

    /// In whose name an automatic deploy is: who connected the repository, or the app's owner.
    async fn actor(&self, link: &Link) -> Result<Actor, RepositoryError> {
        let owner = self.parts.reader.app(link.app_id).await?.ok_or(RepositoryError::NotLinked)?.owner_id;
        let user = self.parts.reader.user(link.user_id.unwrap_or(owner)).await?.ok_or(RepositoryError::NotLinked)?;
        Ok(Actor { id: user.id, email: user.email })
    }

    /// A head nobody delivered has a row too: the page of deliveries tells everything.
    async fn note_found(&self, app: AppId, branch: &BranchName, head: &Head) -> Result<(), RepositoryError> {
        let found = NewDelivery {
            app_id: app,
            guid: format!("poll-{}", head.sha),
            event: "poll".to_owned(),
            branch: branch.to_string(),
            sha: head.sha.to_string(),
            who: head.author.chars().take(60).collect(),
            verdict: Verdict::Received,
        };
        Ok(self.parts.writer.insert_found(&found, self.parts.clock.now()).await?)
    }

    /// The verdict on the head is that of its deliveries; older pushes were overtaken.
    async fn settle_for(&self, link: &Link, head: &Head, (verdict, build): (Verdict, Option<BuildId>)) -> Result<(), RepositoryError> {
        let (mut of_head, mut overtaken) = (Vec::new(), Vec::new());
        for delivery in self.parts.reader.open_deliveries(link.app_id).await? {
            let same = delivery.sha == head.sha.as_str() || verdict == Verdict::Known;
            if same { of_head.push(delivery) } else { overtaken.push(delivery) }
        }
        self.settle(link.app_id, &overtaken, (Verdict::Superseded, None)).await?;
        self.settle(link.app_id, &of_head, (verdict, build)).await
    }

    async fn settle(&self, app: AppId, open: &[Delivery], (verdict, build): (Verdict, Option<BuildId>)) -> Result<(), RepositoryError> {
        let now: Timestamp = self.parts.clock.now();
        for delivery in open {
            self.parts.writer.set_verdict(app, &delivery.guid, (verdict, build), now).await?;
        }
        Ok(())
    }
}

/// What a failed question means for a followed branch.
fn unusual(error: RepositoryError) -> Result<Seen, RepositoryError> {
    match error {
        RepositoryError::Connection(ConnectionError::NotConnected | ConnectionError::Host(GitHostError::Unauthorized)) => Ok(Seen::Revoked),
        RepositoryError::Connection(ConnectionError::Host(GitHostError::Forbidden(_) | GitHostError::Refused(_))) => Ok(Seen::Forbidden),
        RepositoryError::Connection(ConnectionError::Host(error)) => {
            tracing::info!(%error, "GitHub is asked again later");
            Ok(Seen::Unreachable)
        }
        error => Err(error),
    }
}
