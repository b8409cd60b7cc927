//! Config vars from a pasted `.env`: what would change is shown by name first, then saved as one release.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{
        ConfigKey,
        config_var::ConfigVars,
        dotenv::{self, LineError, LineFault},
        user::Actor,
    },
    http::{AppAccess, Deployer},
    releases::ReleaseError,
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        page, say, see_other, settings,
    },
};

#[derive(Template)]
#[template(path = "env.html")]
struct DiffPage {
    cx: Cx,
    head: Head,
    text: String,
    replace: bool,
    groups: Vec<Group>,
    /// Nothing would change.
    idle: bool,
}

/// Names to which the same happens.
pub struct Group {
    pub word: String,
    pub class: &'static str,
    pub sign: &'static str,
    pub keys: Vec<String>,
}

impl Group {
    /// What is other in `after`; names that kept their value are left out.
    pub fn between(cx: &Cx, before: &ConfigVars, after: &ConfigVars) -> Vec<Group> {
        let file = after.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let changes = Changes { same: Vec::new(), ..changes(before, file, true) };
        groups(cx, &changes)
    }
}

#[derive(Deserialize)]
pub struct Pasted {
    text: SecretString,
    /// Remove what is not in the file.
    #[serde(default)]
    replace: Option<String>,
    /// The changes were looked at.
    #[serde(default)]
    confirm: Option<String>,
}

/// `POST /apps/{app}/config/file`
pub async fn paste(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Pasted>) -> Page {
    let Pasted { text, replace, confirm } = fields(sent)?;
    let file = match dotenv::parse(text.expose_secret()) {
        Ok(file) => file,
        Err(faults) => {
            let told: Vec<String> = faults.iter().take(5).map(|fault| told(&cx, fault)).collect();
            return settings::refuse(&web, cx, &app, Form::default().wrong("file", told.join(" "))).await;
        }
    };
    let config = web.releases.config(app.id).await?;
    let changes = changes(&config, file, replace.is_some());
    if confirm.is_some() {
        return save(&web, cx, (&app, &by), changes).await;
    }
    if let Err(error) = config.change(&changes.all()) {
        let wrong = say::config_var(cx.lang, &error);
        return settings::refuse(&web, cx, &app, Form::default().wrong("file", wrong)).await;
    }
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Settings).await?;
    let groups = groups(&cx, &changes);
    let diff =
        DiffPage { idle: changes.all().is_empty(), groups, text: text.expose_secret().to_owned(), replace: replace.is_some(), head, cx };
    Ok(page(StatusCode::OK, &diff))
}

/// What a file does to the config vars.
#[derive(Default)]
struct Changes {
    added: BTreeMap<ConfigKey, Option<SecretString>>,
    changed: BTreeMap<ConfigKey, Option<SecretString>>,
    removed: BTreeMap<ConfigKey, Option<SecretString>>,
    same: Vec<ConfigKey>,
}

impl Changes {
    fn all(&self) -> BTreeMap<ConfigKey, Option<SecretString>> {
        [&self.added, &self.changed, &self.removed].into_iter().flat_map(Clone::clone).collect()
    }
}

fn changes(config: &ConfigVars, file: BTreeMap<ConfigKey, SecretString>, replace: bool) -> Changes {
    let mut changes = Changes::default();
    if replace {
        let gone = config.iter().map(|(key, _)| key).filter(|key| !file.contains_key(*key));
        changes.removed = gone.map(|key| (key.clone(), None)).collect();
    }
    for (key, value) in file {
        match config.get(key.as_str()) {
            None => drop(changes.added.insert(key, Some(value))),
            Some(now) if now.expose_secret() == value.expose_secret() => changes.same.push(key),
            Some(_) => drop(changes.changed.insert(key, Some(value))),
        }
    }
    changes
}

fn groups(cx: &Cx, changes: &Changes) -> Vec<Group> {
    let names = |vars: &BTreeMap<ConfigKey, Option<SecretString>>| vars.keys().map(ConfigKey::to_string).collect::<Vec<_>>();
    let all = [
        Group { word: cx.t("env-added"), class: "ok", sign: "+", keys: names(&changes.added) },
        Group { word: cx.t("env-changed"), class: "warn", sign: "~", keys: names(&changes.changed) },
        Group { word: cx.t("env-removed"), class: "bad", sign: "−", keys: names(&changes.removed) },
        Group { word: cx.t("env-same"), class: "off", sign: "=", keys: changes.same.iter().map(ConfigKey::to_string).collect() },
    ];
    all.into_iter().filter(|group| !group.keys.is_empty()).collect()
}

async fn save(web: &Web, cx: Cx, (app, by): (&App, &Actor), changes: Changes) -> Page {
    let back = format!("/apps/{}/settings#vars", app.name);
    let (changes, count) = (changes.all(), changes.all().len());
    match web.releases.set_config(app.id, changes, by).await {
        Ok(_) => Ok(see_other(&back, [cx.flash(true, "flash-env-saved", &count.to_string())])),
        Err(ReleaseError::Config(error)) => {
            let wrong = say::config_var(cx.lang, &error);
            settings::refuse(web, cx, app, Form::default().wrong("file", wrong)).await
        }
        Err(ReleaseError::Dynos(error)) => match say::dyno(cx.lang, &error) {
            Some(text) => Ok(see_other(&back, [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn told(cx: &Cx, fault: &LineFault) -> String {
    let why = match &fault.why {
        LineError::NotAPair => cx.t("env-not-a-pair"),
        LineError::Open => cx.t("env-open-quote"),
        LineError::Key(error) => say::config_var(cx.lang, error),
    };
    cx.lang.with("env-line", &[("line", &fault.line.to_string()), ("why", &why)])
}
