//! The release phase: the `release` command of a Procfile runs once with the new code and config;
//! only when it succeeds does the release become the current one (heroku.md 2.8).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::mpsc;

use super::{Release, ReleaseError, Releases};
use crate::{
    domain::{AppId, ProcessType, formation::Quantity, one_off, user::Actor},
    dynos::{DynoError, Outcome, RunOrder},
};

/// One release phase to run.
pub(super) struct Phase {
    lines: Option<mpsc::Sender<String>>,
}

impl Phase {
    /// Its output goes to the log, and to whoever holds the other end.
    pub(super) fn telling(lines: Option<mpsc::Sender<String>>) -> Phase {
        Phase { lines }
    }

    /// The server was restarted in the middle of it.
    pub(super) fn again() -> Phase {
        Phase { lines: None }
    }
}

/// One release phase of an app at a time, in the order they came.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<AppId, Weak<tokio::sync::Mutex<()>>>>>);

impl Turns {
    fn of(&self, app: AppId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&app).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(app, Arc::downgrade(&turn));
        turn
    }
}

impl Releases {
    /// Runs the release command and makes the release current.
    pub(super) async fn run_phase(&self, release: &Release, phase: Phase) -> Result<(), ReleaseError> {
        let parts = &self.parts;
        let turn = self.turns.of(release.app_id);
        let _turn = turn.lock().await;
        let by = self.actor_of(release)?;
        parts.logs.api(release.app_id, format!("Running release {} commands by user {}", release.version, by.email));
        let order = RunOrder {
            command: ProcessType::release().to_string(),
            process_type: ProcessType::release(),
            env: Vec::new(),
            time_to_live: Some(one_off::PHASE),
            by,
        };
        let outcome = parts.dynos.run_phase(release.app_id, release.id, order, phase.lines).await?;
        if let Some(why) = failure(&outcome) {
            let serving = parts.reader.current_release(release.app_id).await?.filter(|current| current.slug_id.is_some());
            let rest = serving.map_or_else(String::new, |current| format!(" {} goes on running.", current.version));
            parts.logs.api(release.app_id, format!("Release {} command failed", release.version));
            return Err(ReleaseError::Phase(format!("{why}{rest}")));
        }
        if parts.writer.make_release_current(release.id, parts.clock.now()).await? {
            return Ok(());
        }
        let newer = parts.reader.current_release(release.app_id).await?.map_or(release.version, |current| current.version);
        Err(DynoError::Superseded(newer).into())
    }

    fn actor_of(&self, release: &Release) -> Result<Actor, ReleaseError> {
        let email = release.user_email.parse().map_err(ReleaseError::Phase)?;
        Ok(Actor { id: release.user_id.ok_or(ReleaseError::NoSuchRelease)?, email })
    }

    /// Runs a manifest's `postdeploy` in a one-off dyno of a release and waits for its end.
    ///
    /// # Errors
    /// When it fails, with a sentence that says how.
    pub async fn postdeploy(&self, release: &Release, command: &str, by: &Actor, lines: mpsc::Sender<String>) -> Result<(), ReleaseError> {
        let order = RunOrder {
            command: command.to_owned(),
            process_type: "postdeploy".parse().expect("a process type"),
            env: Vec::new(),
            time_to_live: Some(one_off::PHASE),
            by: by.clone(),
        };
        let outcome = self.parts.dynos.run_phase(release.app_id, release.id, order, Some(lines)).await?;
        match outcome.code {
            Some(0) => Ok(()),
            Some(code) => Err(ReleaseError::Phase(format!("The postdeploy command exited with status {code}."))),
            None => Err(ReleaseError::Phase(format!("The postdeploy command did not run to its end. {}", outcome.words.join(" ")))),
        }
    }

    /// Sets the counts of dynos a manifest asks for.
    ///
    /// # Errors
    /// When the plan does not allow them.
    pub async fn scale(&self, app: AppId, process_type: ProcessType, count: u32, by: &Actor) -> Result<(), ReleaseError> {
        self.parts.dynos.scale(app, &[(process_type, Quantity::Exactly(count))], by).await?;
        Ok(())
    }
}

/// One sentence, when it did not succeed.
fn failure(outcome: &Outcome) -> Option<String> {
    let words = if outcome.words.is_empty() { String::new() } else { format!(" Its last words: {}.", outcome.words.join("\n")) };
    match outcome.code {
        Some(0) => None,
        Some(code) => Some(format!("The release command exited with status {code}.{words}")),
        None => Some(format!("The release command did not run to its end.{words}")),
    }
}
