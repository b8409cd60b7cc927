//! The scheduler over the fake engine and a clock moved by hand: each time is run once, told when it was
//! missed, and noted with how it ended.

use std::time::Duration;

use siesta::{
    addons::{Addon, JobError, Wanted},
    domain::{
        addon::AddonState,
        app::App,
        job::{Job, JobFault},
        user::Actor,
    },
    engine::fake::{Latch, Script},
};

use crate::support::house::{COMMIT, House};

const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);

/// A house with an app that has code and a scheduler.
async fn scheduled() -> (House, App, Addon, Actor) {
    let house = House::start(&[]).await;
    let user = house.owners.accounts.system_user().await.expect("a user");
    let by = Actor { id: user.id, email: user.email };
    let app = house.owners.apps.create(Some("tienda".parse().expect("a name")), &by).await.expect("an app");
    house.owners.releases.deploy(app.id, house.slug(app.id), COMMIT, &by).await.expect("a release");
    let wanted = Wanted { plan: "scheduler:standard".to_owned(), ..Wanted::default() };
    let addon = house.owners.addons.create(app.id, wanted, &by).await.expect("an add-on");
    house.owners.addons.work().await;
    let addon = house.owners.addons.found(addon.id).await.expect("an add-on");
    assert_eq!((addon.state, &addon.error), (AddonState::Provisioned, &None), "it needs no image and no server");
    assert_eq!(house.owners.reader.attachments_of_addon(addon.id).await.expect("read"), [], "and sets no variable");
    (house, app, addon, by)
}

/// The job, once it is as awaited.
async fn job_until(house: &House, job: &Job, is: impl Fn(&Job) -> bool) -> Job {
    let look = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            let now = house.owners.reader.job(job.id).await.expect("read").expect("a job");
            if is(&now) {
                return now;
            }
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it comes to that")
}

async fn log(house: &House, app: &App) -> Vec<String> {
    let lines = house.owners.logs.recent(app.id, &siesta::logs::Filter::default(), 200).await.expect("lines");
    lines.into_iter().map(|(_, line)| format!("{}: {}", line.ps, line.message)).collect()
}

/// Runs of the job that the log tells of.
fn begun(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("Starting process with command `python limpia.py`")).count()
}

#[tokio::test]
async fn a_job_runs_once_at_its_time_and_its_end_is_noted() {
    let (house, app, addon, _) = scheduled().await;
    let addons = &house.owners.addons;
    house.engine.on("limpia.py", Script::exits(3));
    let job = addons.add_job(&addon, "python limpia.py", "*/10 * * * *", "Europe/Madrid").await.expect("a job");
    addons.run_jobs().await;
    assert_eq!(job_until(&house, &job, |_| true).await.started_at, None, "its time has not come");
    house.clock.advance(10 * MINUTE);
    addons.run_jobs().await;
    addons.run_jobs().await;
    let ended = job_until(&house, &job, |job| job.finished_at.is_some()).await;
    assert_eq!((ended.exit_code, &ended.error, ended.missed), (Some(3), &None, 0));
    assert!(ended.dyno_name.as_deref().is_some_and(|name| name.starts_with("scheduler.")), "{ended:?}");
    assert!(ended.next_at > job.next_at);
    addons.run_jobs().await;
    let log = log(&house, &app).await;
    assert_eq!(begun(&log), 1, "one dyno for one time: {log:#?}");
    assert!(log.iter().any(|line| line.starts_with("scheduler.") && line.contains("status 3")), "{log:#?}");
    house.stop().await;
}

#[tokio::test]
async fn times_missed_while_the_server_was_down_are_told_and_not_made_up_for() {
    let (house, app, addon, _) = scheduled().await;
    let addons = &house.owners.addons;
    let job = addons.add_job(&addon, "python limpia.py", "0 * * * *", "UTC").await.expect("a job");
    house.clock.advance(5 * 60 * MINUTE + 30 * MINUTE);
    addons.run_jobs().await;
    addons.run_jobs().await;
    let missed = job_until(&house, &job, |_| true).await;
    assert!(missed.missed >= 5 && missed.started_at.is_none(), "{missed:?}");
    let log = log(&house, &app).await;
    assert_eq!(begun(&log), 0, "none was run late: {log:#?}");
    assert_eq!(log.iter().filter(|line| line.starts_with("scheduler: ") && line.contains("were missed")).count(), 1, "{log:#?}");
    house.stop().await;
}

#[tokio::test]
async fn a_run_that_lasts_until_the_next_time_is_stopped_for_it() {
    let (house, app, addon, _) = scheduled().await;
    let addons = &house.owners.addons;
    house.engine.on("eterna.py", Script::default().exits_when(&Latch::new(), 0));
    let job = addons.add_job(&addon, "python eterna.py", "*/10 * * * *", "UTC").await.expect("a job");
    house.clock.advance(10 * MINUTE);
    addons.run_jobs().await;
    let first = job_until(&house, &job, |job| job.dyno_id.is_some()).await;
    house.clock.advance(10 * MINUTE);
    addons.run_jobs().await;
    let second = job_until(&house, &job, |job| job.dyno_id.is_some() && job.dyno_id != first.dyno_id).await;
    assert!(second.runs(), "{second:?}");
    let runs = async || house.owners.dynos.one_offs(app.id).into_iter().map(|one| one.id).collect::<Vec<_>>();
    let only_the_second = async {
        while runs().await != [second.dyno_id.expect("a dyno")] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, only_the_second).await.expect("the first has ended");
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_run_says_why_and_jobs_wait_in_the_bin() {
    let (house, _, addon, by) = scheduled().await;
    let addons = &house.owners.addons;
    for (command, cron, zone) in
        [("", "0 * * * *", "UTC"), ("ls", "* * * * *", "UTC"), ("ls", "0 * * * *", "Marte"), ("ls", "nunca", "UTC")]
    {
        assert!(matches!(addons.add_job(&addon, command, cron, zone).await, Err(JobError::Fault(_))), "{command} {cron} {zone}");
    }
    assert!(matches!(addons.add_job(&addon, "ls", "*/5 * * * *", "UTC").await, Err(JobError::Fault(JobFault::TooOften))));
    assert!(addons.rotate(addon.id, &by).await.is_err(), "it has no credentials");

    let bare = house.owners.apps.create(Some("pelada".parse().expect("a name")), &by).await.expect("an app");
    let wanted = Wanted { plan: "scheduler".to_owned(), ..Wanted::default() };
    let other = addons.create(bare.id, wanted, &by).await.expect("an add-on");
    addons.work().await;
    let other = addons.found(other.id).await.expect("an add-on");
    let job = addons.add_job(&other, "ls", "*/10 * * * *", "UTC").await.expect("a job");
    assert!(addons.delete_job(&addon, job.id).await.is_err(), "it is not a job of that scheduler");
    house.clock.advance(10 * MINUTE);
    addons.run_jobs().await;
    let ended = job_until(&house, &job, |job| job.finished_at.is_some()).await;
    assert!(ended.error.as_deref().is_some_and(|error| error.contains("no code")) && ended.exit_code.is_none(), "{ended:?}");

    addons.destroy(other.id, &by).await.expect("destroyed");
    house.clock.advance(10 * MINUTE);
    addons.run_jobs().await;
    assert_eq!(job_until(&house, &job, |_| true).await.started_at, ended.started_at, "in the bin it does not run");
    addons.restore(other.id, bare.id, &by).await.expect("brought back");
    assert_eq!(house.owners.reader.jobs_of_addon(other.id).await.expect("read").len(), 1, "with its jobs");
    house.stop().await;
}
