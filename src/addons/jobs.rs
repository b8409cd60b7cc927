//! The scheduler: jobs that run as one-off dynos at their times.
//!
//! The time of a run is taken in the row before the dyno begins, so a server that is killed loses at
//! most a run that was about to begin, and never doubles one. What fell into a time in which the server
//! was down is counted and told, not made up for.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use tokio::sync::watch;

use crate::{
    addons::{Addon, AddonError, Addons, Inner},
    domain::{
        DynoId, JobId, Timestamp,
        addon::{AddonState, ServiceKind},
        job::{self, Job, JobFault, Timetable},
        log_line::Source,
    },
    dynos::{DynoError, Outcome, RunOrder},
    store::StoreError,
};

/// A job runs no longer than this, and no longer than until its next time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const LOST: &str = "The server was stopped while it ran, so how it ended is not known.";

/// Why a job could not be made or run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("Couldn't find that job.")]
    NoSuchJob,
    #[error("A scheduler has at most {0} jobs. Delete one to make room.")]
    TooMany(u32),
    #[error(transparent)]
    Fault(#[from] JobFault),
    #[error(transparent)]
    Addon(#[from] AddonError),
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        AddonError::from(error).into()
    }
}

/// Jobs whose end somebody in this process waits for.
#[derive(Default)]
pub(super) struct Followed(Mutex<BTreeSet<DynoId>>);

impl Followed {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<DynoId>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Addons {
    /// A new job of a scheduler.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn add_job(&self, addon: &Addon, command: &str, cron: &str, time_zone: &str) -> Result<Job, JobError> {
        let parts = &self.inner.parts;
        let (now, cron) = (parts.clock.now(), cron.split_whitespace().collect::<Vec<_>>().join(" "));
        let table = Timetable::parse(&cron, time_zone, now)?;
        let next_at = table.next_after(now).ok_or_else(|| JobFault::Cron(cron.clone()))?;
        let job = Job {
            id: JobId::new(),
            app_id: addon.app_id,
            addon_id: addon.id,
            command: job::command(command)?,
            cron,
            time_zone: time_zone.to_owned(),
            next_at,
            missed: 0,
            dyno_id: None,
            dyno_name: None,
            started_at: None,
            finished_at: None,
            exit_code: None,
            error: None,
        };
        if !parts.writer.add_job(&job, job::PER_ADDON, now).await? {
            return Err(JobError::TooMany(job::PER_ADDON));
        }
        Ok(job)
    }

    /// Deletes a job; a run of it goes on to its end.
    ///
    /// # Errors
    /// When the add-on has no such job.
    pub async fn delete_job(&self, addon: &Addon, job: JobId) -> Result<(), JobError> {
        let found = self.inner.parts.reader.job(job).await?.filter(|job| job.addon_id == addon.id);
        Ok(self.inner.parts.writer.delete_job(found.ok_or(JobError::NoSuchJob)?.id).await?)
    }

    /// Begins the runs that are due, and follows those that were begun. The server calls it every few seconds.
    pub async fn run_jobs(&self) {
        let now = self.inner.parts.clock.now();
        let jobs = match self.inner.parts.reader.jobs_to_look_at(now).await {
            Ok(jobs) => jobs,
            Err(error) => return tracing::error!(%error, "jobs could not be read"),
        };
        for job in jobs {
            if let Err(error) = self.look_at(&job, now).await {
                tracing::error!(job = %job.id, %error, "a job could not be run");
            }
        }
    }

    async fn look_at(&self, job: &Job, now: Timestamp) -> Result<(), JobError> {
        let inner = &self.inner;
        if job.runs() {
            inner.follow_again(job).await?;
        }
        if job.next_at > now {
            return Ok(());
        }
        let addon = inner.parts.reader.addon(job.addon_id).await?.filter(|addon| addon.state == AddonState::Provisioned);
        let table = Timetable::parse(&job.cron, &job.time_zone, now)?;
        let next_at = table.next_after(now).unwrap_or(now + LONGEST);
        let Some(addon) = addon.filter(|addon| addon.service().kind == ServiceKind::Scheduler) else {
            // Its add-on lies in the bin.
            return Ok(inner.parts.writer.miss_job(job.id, next_at, 0).await?);
        };
        if now.since(job.next_at) > job::LATE {
            let missed = u32::try_from(table.times(job.next_at, now)).unwrap_or(u32::MAX);
            inner.parts.writer.miss_job(job.id, next_at, missed).await?;
            inner.say_of_job(job, "scheduler", format!("{missed} runs of `{}` were missed while the server was down", job.command));
            return Ok(());
        }
        if let Some(dyno) = job.dyno_id.filter(|_| job.runs()) {
            inner.stop_run(job, dyno).await;
        }
        if inner.parts.writer.begin_job(job, next_at, now).await? {
            inner.begin_run(&addon, job, next_at.since(now)).await?;
        }
        Ok(())
    }
}

impl Inner {
    fn say_of_job(&self, job: &Job, ps: &str, message: String) {
        let line = crate::domain::LogLine { at_micros: self.parts.clock.now_micros(), source: Source::Heroku, ps: ps.to_owned(), message };
        self.parts.logs.append(job.app_id, line);
    }

    /// A run that lasts until the next one is ended for it.
    async fn stop_run(&self, job: &Job, dyno: DynoId) {
        let running = self.parts.dynos.one_offs(job.app_id).into_iter().find(|one| one.id == dyno);
        if let Some(running) = running
            && self.parts.dynos.stop_one_off(job.app_id, &running.name).await.is_ok()
        {
            self.say_of_job(job, &running.name.to_string(), "It ran until its next time and was stopped".to_owned());
        }
    }

    async fn begin_run(&self, addon: &Addon, job: &Job, until_next: Duration) -> Result<(), JobError> {
        let order = RunOrder {
            command: job.command.clone(),
            process_type: job::PROCESS_TYPE.parse().expect("a process type"),
            env: Vec::new(),
            time_to_live: Some(until_next.clamp(job::SHORTEST, LONGEST)),
            by: self.actor(addon, job.app_id, None).await?,
        };
        match self.parts.dynos.run_job(job.app_id, order).await {
            Ok((view, outcome)) => {
                self.parts.writer.set_job_dyno(job.id, view.id, &view.name.to_string()).await?;
                self.follow(job.id, view.id, outcome);
                Ok(())
            }
            Err(error) => self.not_begun(job, &error).await,
        }
    }

    /// The plan, the quota or the machine had no room for it, or the app has no code.
    async fn not_begun(&self, job: &Job, error: &DynoError) -> Result<(), JobError> {
        self.say_of_job(job, "scheduler", format!("`{}` was not run: {error}", job.command));
        let ended = (None, Some(&*error.to_string()));
        Ok(self.parts.writer.end_job((job.id, None), ended, self.parts.clock.now()).await?)
    }

    /// Writes down how a run ends.
    fn follow(&self, job: JobId, dyno: DynoId, mut outcome: watch::Receiver<Option<Outcome>>) {
        if !self.followed.lock().insert(dyno) {
            return;
        }
        let (parts, followed) = (self.parts.clone(), self.followed.clone());
        self.parts.tasks.spawn(async move {
            let ended = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
            let (code, error) = match ended {
                Some(Outcome { code: Some(code), .. }) => (Some(code), None),
                Some(Outcome { code: None, words }) => (None, Some(words.last().cloned().unwrap_or_else(|| LOST.to_owned()))),
                None => (None, Some(LOST.to_owned())),
            };
            if let Err(error) = parts.writer.end_job((job, Some(dyno)), (code, error.as_deref()), parts.clock.now()).await {
                tracing::error!(%error, "the end of a job could not be written");
            }
            followed.lock().remove(&dyno);
        });
    }

    /// A run that another life of the server began.
    async fn follow_again(&self, job: &Job) -> Result<(), JobError> {
        let outcome = match job.dyno_id {
            Some(dyno) if self.followed.lock().contains(&dyno) => return Ok(()),
            Some(dyno) => self.parts.dynos.outcome_of(job.app_id, dyno).map(|outcome| (dyno, outcome)),
            None => None,
        };
        match outcome {
            Some((dyno, outcome)) => self.follow(job.id, dyno, outcome),
            None => self.parts.writer.end_job((job.id, job.dyno_id), (None, Some(LOST)), self.parts.clock.now()).await?,
        }
        Ok(())
    }
}
