//! One release: how its config vars differ from another one's, by name, and what going back to it would change.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{
        ReleaseStatus, SlugId, Timestamp, Version,
        build::Build,
        config_var::ConfigVars,
        release::{Release, short_commit},
    },
    http::{AppAccess, Fault, Viewer},
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        cx::Cx,
        env::Group,
        page,
        state::Pill,
    },
};

/// Builds that are looked through for the one that made a release's code.
const BUILDS: u32 = 200;

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    cx: Cx,
    head: Head,
    version: String,
    description: String,
    state: Pill,
    by: String,
    at: Timestamp,
    build: Option<(String, String)>,
    /// What it is compared with.
    from: String,
    choices: Vec<String>,
    same_code: bool,
    groups: Vec<Group>,
    /// The current release, and what going back would change; None where there is no way back.
    back: Option<Back>,
}

struct Back {
    current: String,
    same_code: bool,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
pub struct Compared {
    /// `v3`; without it the release before.
    #[serde(default)]
    from: String,
}

/// `GET /apps/{app}/releases/{version}`
pub async fn release(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Viewer,
    Path((_, version)): Path<(String, String)>,
    Query(compared): Query<Compared>,
) -> Page {
    let all = web.reader.releases(app.id).await?;
    let missing = || Fault::not_found("release");
    let version: Version = version.parse().map_err(|_| missing())?;
    let shown = all.iter().find(|one| one.version == version).ok_or_else(missing)?;
    let before = || all.iter().find(|one| one.version < version);
    let chosen: Option<Version> = compared.from.parse().ok();
    let from = chosen.map_or_else(before, |from| all.iter().find(|one| one.version == from));
    let current = all.iter().find(|one| one.current);
    let vars = web.releases.config_of(shown.id).await?;
    let (groups, from_code) = match from {
        Some(from) => (Group::between(&cx, &web.releases.config_of(from.id).await?, &vars), from.slug_id),
        None => (Group::between(&cx, &ConfigVars::default(), &vars), None),
    };
    let kept = web.releases.kept_slugs(app.id).await?;
    let back = match current.filter(|current| current.id != shown.id && may_return(shown, &kept)) {
        Some(current) => Some(Back {
            current: current.version.to_string(),
            same_code: current.slug_id == shown.slug_id,
            groups: without(Group::between(&cx, &web.releases.config_of(current.id).await?, &vars), &of_addons(&web, &app).await?),
        }),
        None => None,
    };
    let builds = web.reader.builds(app.id, BUILDS).await?;
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Activity).await?;
    let release = ReleasePage {
        version: shown.version.to_string(),
        description: shown.description.clone(),
        state: pill(&cx, shown),
        by: shown.user_email.clone(),
        at: shown.created_at,
        build: builds.iter().find(|build| made(build, shown)).map(|build| named(&cx, build)),
        from: from.map(|from| from.version.to_string()).unwrap_or_default(),
        choices: all.iter().filter(|one| one.id != shown.id).map(|one| one.version.to_string()).collect(),
        same_code: from_code == shown.slug_id,
        groups,
        back: back.filter(|_| head.changeable()),
        head,
        cx,
    };
    Ok(page(StatusCode::OK, &release))
}

/// The names of the variables of attached add-ons, which do not roll back.
async fn of_addons(web: &Web, app: &App) -> Result<BTreeSet<String>, Fault> {
    Ok(web.reader.attachment_names(app.id).await?.iter().map(|(name, _)| name.key().to_string()).collect())
}

fn without(groups: Vec<Group>, names: &BTreeSet<String>) -> Vec<Group> {
    let rest = |group: Group| Group { keys: group.keys.into_iter().filter(|key| !names.contains(key)).collect(), ..group };
    groups.into_iter().map(rest).filter(|group| !group.keys.is_empty()).collect()
}

/// Whether one can roll back to it: it came up, and its code is kept.
pub fn may_return(release: &Release, kept: &BTreeSet<SlugId>) -> bool {
    release.slug_id.is_some_and(|slug| kept.contains(&slug)) && release.status == ReleaseStatus::Succeeded
}

/// A release that changed config vars alone runs what an earlier build made.
fn made(build: &Build, release: &Release) -> bool {
    build.release_id == Some(release.id) || (build.slug_id.is_some() && build.slug_id == release.slug_id)
}

/// The id of a build and what it was made of.
fn named(cx: &Cx, build: &Build) -> (String, String) {
    let label = build.source_version.as_deref().map_or_else(|| cx.t("an-upload"), |version| short_commit(version).to_owned());
    (build.id.to_string(), label)
}

fn pill(cx: &Cx, release: &Release) -> Pill {
    let (class, word) = match release.status {
        ReleaseStatus::Succeeded if release.current => ("ok", cx.t("current")),
        ReleaseStatus::Succeeded => ("off", cx.t("release-past")),
        ReleaseStatus::Pending => ("warn live", cx.t("release-pending")),
        ReleaseStatus::Failed => ("bad", cx.t("release-failed")),
    };
    Pill { class, word }
}
