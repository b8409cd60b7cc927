//! What others say of a commit, and what we say of it.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{CONTEXT, GithubClient, wire::Call};
use crate::{
    domain::{CommitSha, RepoName, git::CiState},
    github::{Access, GitHostError, Report, ReportState},
};

/// Pages of check runs that are read: 100 on each.
const MAX_PAGES: u32 = 5;

impl GithubClient {
    pub(super) async fn statuses(
        &self,
        access: &Access,
        repository: &RepoName,
        sha: &CommitSha,
        except: &str,
    ) -> Result<CiState, GitHostError> {
        #[derive(Deserialize)]
        struct Combined {
            statuses: Vec<Status>,
        }
        #[derive(Deserialize)]
        struct Status {
            context: String,
            state: String,
        }
        let combined: Combined = self.read(access, format!("/repos/{repository}/commits/{sha}/status?per_page=100")).await?;
        let foreign = combined.statuses.into_iter().filter(|status| !status.context.starts_with(except));
        Ok(together(foreign.map(|status| match status.state.as_str() {
            "success" => CiState::Success,
            "pending" => CiState::Pending,
            _ => CiState::Failure(status.context),
        })))
    }

    pub(super) async fn check_runs(&self, access: &Access, repository: &RepoName, sha: &CommitSha) -> Result<CiState, GitHostError> {
        #[derive(Deserialize)]
        struct Runs {
            check_runs: Vec<Run>,
        }
        #[derive(Deserialize)]
        struct Run {
            name: String,
            status: String,
            conclusion: Option<String>,
        }
        let mut state = CiState::Silent;
        for page in 1..=MAX_PAGES {
            let path = format!("/repos/{repository}/commits/{sha}/check-runs?per_page=100&page={page}");
            let answer = self.call(access, Call::get(path)).await?;
            let runs = answer.decode::<Runs>()?.check_runs.into_iter().map(|run| match (run.status.as_str(), run.conclusion.as_deref()) {
                ("completed", Some("success" | "neutral" | "skipped")) => CiState::Success,
                ("completed", _) => CiState::Failure(run.name),
                _ => CiState::Pending,
            });
            state = together(std::iter::once(state).chain(runs));
            if !answer.has_more() {
                break;
            }
        }
        Ok(state)
    }

    /// A commit status, and a deployment's where there is one.
    pub(super) async fn tell(
        &self,
        access: &Access,
        repository: &RepoName,
        deployment: Option<i64>,
        report: &Report,
    ) -> Result<(), GitHostError> {
        let (deployed, committed, words) = match report.state {
            ReportState::Queued => ("queued", "pending", "Waiting for its turn"),
            ReportState::Building => ("in_progress", "pending", "Building"),
            ReportState::Live => ("success", "success", "Live"),
            ReportState::Failed => ("failure", "failure", "The deploy failed"),
            ReportState::Cancelled => ("inactive", "error", "Not deployed: cancelled, or a newer push came first"),
        };
        if let Some(id) = deployment {
            let body = json!({
                "state": deployed, "log_url": report.log_url, "environment_url": report.environment_url, "description": words,
            });
            self.call(access, Call::send(Method::POST, format!("/repos/{repository}/deployments/{id}/statuses"), body)).await?;
        }
        let context = format!("{CONTEXT}{}", report.environment);
        let body = json!({ "state": committed, "target_url": report.log_url, "description": words, "context": context });
        self.call(access, Call::send(Method::POST, format!("/repos/{repository}/statuses/{}", report.sha), body)).await?;
        Ok(())
    }
}

/// What several say together: one failure fails, one that is pending is waited for.
pub(super) fn together(states: impl Iterator<Item = CiState>) -> CiState {
    states.fold(CiState::Silent, |all, one| match (all, one) {
        (CiState::Failure(name), _) | (_, CiState::Failure(name)) => CiState::Failure(name),
        (CiState::Pending, _) | (_, CiState::Pending) => CiState::Pending,
        (CiState::Success, _) | (_, CiState::Success) => CiState::Success,
        (CiState::Silent, CiState::Silent) => CiState::Silent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_and_nobody_s_word_is_silence() {
        let all = |states: &[CiState]| together(states.iter().cloned());
        let failed = CiState::Failure("test".into());
        assert_eq!(all(&[]), CiState::Silent);
        assert_eq!(all(&[CiState::Silent, CiState::Success]), CiState::Success);
        assert_eq!(all(&[CiState::Success, CiState::Pending]), CiState::Pending);
        assert_eq!(all(&[CiState::Pending, failed.clone(), CiState::Success]), failed);
    }
}
