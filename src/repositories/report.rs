//! Back to the host: a deployment with its statuses and a commit status, so that the repository's
//! page shows what became of a commit. What was told is written down, so nothing is told twice and
//! nothing is lost by a restart.

use std::time::Duration;

use crate::{
    connections::ConnectionError,
    domain::BuildStatus,
    github::{GitHostError, Report, ReportState},
    repositories::{Repositories, RepositoryError},
    store::git_builds::Untold,
};

/// What could not be told is tried again after this time.
const AGAIN: Duration = Duration::from_secs(60);

impl Repositories {
    /// Tells the host for ever, at every change of a build.
    pub async fn report_on(self) {
        let mut changes = self.parts.builder.changes();
        loop {
            changes.borrow_and_update();
            self.report().await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Tells what the host has not heard.
    pub async fn report(&self) {
        let untold = match self.parts.reader.untold_builds().await {
            Ok(untold) => untold,
            Err(error) => return tracing::error!(%error, "builds could not be read"),
        };
        for build in untold {
            let outcome = match self.tell(&build).await {
                Ok(()) => self.parts.writer.note_told(build.build_id, build.status).await,
                Err(error) => {
                    tracing::info!(build = %build.build_id, %error, "GitHub could not be told of a build");
                    let passing = matches!(&error, RepositoryError::Connection(ConnectionError::Host(error)) if error.is_passing());
                    self.parts.writer.note_untold(build.build_id, !passing).await
                }
            };
            if let Err(error) = outcome {
                tracing::error!(%error, "what GitHub was told could not be noted");
            }
        }
    }

    async fn tell(&self, build: &Untold) -> Result<(), RepositoryError> {
        let Some(app) = self.parts.reader.app(build.app_id).await? else { return Ok(()) };
        let access = self.parts.connections.access_of(Some(build.user_id)).await?;
        let (github, repository) = (&self.parts.github, &build.repository);
        let deployment = match build.deployment_id {
            Some(id) => Some(id),
            None => {
                let made = github.create_deployment(access.clone(), repository.clone(), build.sha.clone(), app.name.to_string()).await;
                match made {
                    Ok(id) => {
                        self.parts.writer.set_deployment(build.build_id, id).await?;
                        Some(id)
                    }
                    // No permission for deployments: the commit status alone is told.
                    Err(GitHostError::Forbidden(_) | GitHostError::NotFound | GitHostError::Refused(_)) => None,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let report = Report {
            sha: build.sha.clone(),
            environment: app.name.to_string(),
            state: match build.status {
                BuildStatus::Queued => ReportState::Queued,
                BuildStatus::Running => ReportState::Building,
                BuildStatus::Succeeded => ReportState::Live,
                BuildStatus::Failed => ReportState::Failed,
                BuildStatus::Cancelled => ReportState::Cancelled,
            },
            log_url: format!("{}/apps/{}/builds/{}", self.parts.config.dashboard_url(), app.name, build.build_id),
            environment_url: self.parts.config.web_url(app.name.as_str()),
        };
        Ok(github.report(access, repository.clone(), deployment, report).await?)
    }
}
