//! The session cookie: `__Host-` and `Secure` wherever the public address is https.

use axum_extra::extract::cookie::{Cookie, SameSite};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;

fn name(config: &Config) -> &'static str {
    if config.scheme() == "https" { "__Host-siesta" } else { "siesta" }
}

fn cookie(config: &Config, value: String) -> Cookie<'static> {
    Cookie::build((name(config), value)).path("/").http_only(true).same_site(SameSite::Lax).secure(config.scheme() == "https").build()
}

/// The cookie that carries a new session, for `Set-Cookie`. It ends with the browser's session; the
/// server ends it earlier (idle 12 h, 7 days in all).
pub fn session_cookie(config: &Config, token: &SecretString) -> Cookie<'static> {
    cookie(config, token.expose_secret().to_owned())
}

/// The cookie that takes the session's cookie away.
pub fn end_session_cookie(config: &Config) -> Cookie<'static> {
    let mut gone = cookie(config, String::new());
    gone.make_removal();
    gone
}

/// The token in the session cookie. Two cookies of that name are none: one of them was planted.
pub fn session_token(headers: &HeaderMap, config: &Config) -> Option<SecretString> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(key, _)| *key == name(config)).map(|(_, value)| value);
    match (ours.next(), ours.next()) {
        (Some(value), None) if !value.is_empty() => Some(value.into()),
        _ => None,
    }
}
