//! What every page knows: language, theme, who is signed in, the message left by the last action.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};

use crate::{
    accounts::User,
    config::Config,
    domain::{Timestamp, UserId},
    http::{Caller, Fault, RequestId},
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

    /// Whether this is the reader's account.
    pub fn is_me(&self, user: &UserId) -> bool {
        self.user.as_ref().is_some_and(|me| me.id == *user)
    }

    /// Whether the pages of the host are the reader's too.
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.admin)
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

    /// `2026-11-30 16:42 UTC`.
    pub fn day(&self, at: &Timestamp) -> String {
        at.to_jiff().strftime("%Y-%m-%d %H:%M UTC").to_string()
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
        self.cookie(FLASH_COOKIE, flash.to_cookie())
    }

    pub fn language_cookie(&self, lang: Lang) -> Cookie<'static> {
        let mut cookie = self.cookie(LANGUAGE_COOKIE, lang.code().to_owned());
        cookie.make_permanent();
        cookie
    }

    /// None takes the choice away.
    pub fn theme_cookie(&self, theme: Option<Theme>) -> Cookie<'static> {
        let mut cookie = self.cookie(THEME_COOKIE, theme.map(Theme::code).unwrap_or_default().to_owned());
        match theme {
            Some(_) => cookie.make_permanent(),
            None => cookie.make_removal(),
        }
        cookie
    }

    fn cookie(&self, name: &'static str, value: String) -> Cookie<'static> {
        Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Lax).secure(self.https).build()
    }
}

/// Layer: makes the context of the page, renders faults as pages, takes a shown message away.
pub async fn provide(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let user = request.extensions().get::<Caller>().map(|caller| caller.user.clone());
    let cx = Cx::of(request.headers(), path, user, &web.config, web.clock.now());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let id = request.extensions().get::<RequestId>().and_then(|id| id.0.to_str().ok()).unwrap_or_default().to_owned();
    request.extensions_mut().insert(cx.clone());
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = oops::render(&cx, &fault, (reads, &id), response);
    }
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if is_page && cx.flash.is_some() {
        let mut shown = cx.cookie(FLASH_COOKIE, String::new());
        shown.make_removal();
        let shown = HeaderValue::try_from(shown.to_string()).expect("our cookies are header values");
        response.headers_mut().append(header::SET_COOKIE, shown);
    }
    response
}

impl<S: Sync> FromRequestParts<S> for Cx {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Cx, Infallible> {
        Ok(parts.extensions.get::<Cx>().expect("`provide` wraps every page").clone())
    }
}

/// One cookie of the request; two of a name are none.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    match (ours.next(), ours.next()) {
        (Some(value), None) => Some(value.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_cookie_and_nothing_else_does() {
        let flash = Flash { good: true, key: "flash-renamed".into(), value: "tienda; ñ\n<b>".into() };
        assert_eq!(Flash::from_cookie(&flash.to_cookie()), Some(flash));
        let planted = BASE64_URL_SAFE_NO_PAD.encode("+\napps\nx");
        assert_eq!(Flash::from_cookie(&planted), None);
        assert_eq!(Flash::from_cookie("???"), None);
    }
}
