//! What every page knows: language, theme, who is signed in, the message left by the last action.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    accounts::User,
    config::Config,
    domain::Timestamp,
    http::{Caller, Fault},
    web::{Web, assets, lang, lang::Lang, oops},
};

const LANGUAGE_COOKIE: &str = "siesta_language";
const THEME_COOKIE: &str = "siesta_theme";
const FLASH_COOKIE: &str = "siesta_flash";

/// A colour scheme somebody chose; without one the system's is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub fn parse(word: &str) -> Option<Theme> {
        match word {
            "light" => Some(Theme::Light),
            "dark" => Some(Theme::Dark),
            _ => None,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// A message for the next page: the key of its text and one value in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flash {
    pub good: bool,
    key: String,
    value: String,
}

impl Flash {
    pub fn class(&self) -> &'static str {
        if self.good { "ok" } else { "bad" }
    }

    fn to_cookie(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{}", if self.good { "+" } else { "-" }, self.key, self.value))
    }

    fn from_cookie(text: &str) -> Option<Flash> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, '\n');
        let (sign, key, value) = (parts.next()?, parts.next()?, parts.next()?);
        let known = key.starts_with("flash-") && value.len() <= 400;
        known.then(|| Flash { good: sign == "+", key: key.to_owned(), value: value.to_owned() })
    }
}

/// The context of a page. Templates call its methods.
#[derive(Clone, Debug)]
pub struct Cx {
    pub lang: Lang,
    pub theme: Option<Theme>,
    pub user: Option<User>,
    pub flash: Option<Flash>,
    /// Path and query of the page, to come back to.
    pub path: String,
    pub now: Timestamp,
    pub https: bool,
}

impl Cx {
    fn of(parts: &HeaderMap, path: String, user: Option<User>, config: &Config, now: Timestamp) -> Cx {
        let accept = parts.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = user.as_ref().and_then(|user| user.language.as_deref());
        let theme = user.as_ref().and_then(|user| user.theme.clone()).or_else(|| cookie(parts, THEME_COOKIE));
        Cx {
            lang: Lang::choose(language, cookie(parts, LANGUAGE_COOKIE).as_deref(), accept),
            theme: theme.as_deref().and_then(Theme::parse),
            flash: cookie(parts, FLASH_COOKIE).as_deref().and_then(Flash::from_cookie),
            user,
            path,
            now,
            https: config.scheme() == "https",
        }
    }

    pub fn t(&self, key: &str) -> String {
        self.lang.t(key)
    }

    pub fn t1(&self, key: &str, name: &'static str, value: impl ToString) -> String {
        self.lang.with(key, &[(name, &value.to_string())])
    }

    /// The text of a count, with its plural form.
    pub fn tn(&self, key: &str, n: impl ToString) -> String {
        self.lang.with(key, &[("n", &n.to_string())])
    }

    pub fn asset(&self, name: &str) -> &'static str {
        assets::url(name)
    }

    /// `12 min ago`, in words.
    pub fn ago(&self, at: &Timestamp) -> String {
        let span = self.now.since(*at);
        if span.as_secs() < 5 { self.t("just-now") } else { self.t1("ago", "time", lang::rough(span)) }
    }

    pub fn theme_is(&self, word: &str) -> bool {
        self.theme.map_or("system", Theme::code) == word
    }

    /// Two letters for the round badge.
    pub fn initials(&self) -> String {
        let Some(user) = &self.user else { return String::new() };
        let name = if user.name.is_empty() { user.email.as_str() } else { &user.name };
        let words = name.split(|c: char| !c.is_alphanumeric()).filter_map(|word| word.chars().next());
        words.take(2).flat_map(char::to_uppercase).collect()
    }

    pub fn flash_text(&self, flash: &Flash) -> String {
        self.lang.with(&flash.key, &[("value", &flash.value)])
    }

    /// Leaves a message for the next page. `key` begins with `flash-`.
    pub fn flash(&self, good: bool, key: &str, value: &str) -> Cookie<'static> {
        let flash = Flash { good, key: key.to_owned(), value: value.chars().take(100).collect() };
        let mut cookie = self.cookie(FLASH_COOKIE, flash.to_cookie());
        cookie.set_max_age(axum_extra::extract::cookie::Expiration::Session.datetime().map(|_| unreachable!()));
        cookie
    }

    pub fn language_cookie(&self, lang: Lang) -> Cookie<'static> {
        lasting(self.cookie(LANGUAGE_COOKIE, lang.code().to_owned()))
    }

    /// None takes the choice away.
    pub fn theme_cookie(&self, theme: Option<Theme>) -> Cookie<'static> {
        match theme {
            Some(theme) => lasting(self.cookie(THEME_COOKIE, theme.code().to_owned())),
            None => ended(self.cookie(THEME_COOKIE, String::new())),
        }
    }

    fn cookie(&self, name: &'static str, value: String) -> Cookie<'static> {
        Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Lax).secure(self.https).build()
    }
}
