//! What an account logs in with: the password and the second factor.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect},
};
use http::{StatusCode, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    http::{CurrentUser, Fault, origin_of, session_token},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields, refused},
        page, see_other,
    },
};

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    cx: Cx,
    form: Form,
}

pub async fn password_page(cx: Cx, CurrentUser(_): CurrentUser) -> Page {
    Ok(page(StatusCode::OK, &PasswordPage { cx, form: Form::default() }))
}

#[derive(Deserialize)]
pub struct Change {
    current: SecretString,
    password: SecretString,
}

/// Sets the password of somebody who knows the old one.
pub async fn change(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, parts: Parts, sent: Sent<Change>) -> Page {
    let Change { current, password } = fields(sent)?;
    let session = session_token(&parts.headers, &web.config).ok_or_else(Fault::unauthorized)?;
    match web.accounts.change_password(&user, (&current, &password), &session, &origin_of(&parts)).await {
        Ok(()) => Ok(see_other("/account#login", [cx.flash(true, "flash-password-changed", "")])),
        Err(error) => {
            let (status, form) = refused(cx.lang, Form::default(), error)?;
            Ok(page(status, &PasswordPage { cx, form }))
        }
    }
}

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactorPage {
    cx: Cx,
    form: Form,
    view: View,
}

/// How far the second factor is.
enum View {
    /// A secret to scan or type, and a field for its first code.
    Pending {
        picture: String,
        secret: String,
    },
    /// On since now: what is shown this once.
    Fresh(Vec<String>),
    On {
        codes_left: i64,
    },
}

async fn view(web: &Web, user: &crate::accounts::User) -> Result<Option<View>, Fault> {
    if let Some(pending) = web.accounts.pending_second_factor(user).await? {
        return Ok(Some(View::Pending { picture: pending.picture, secret: pending.secret.expose_secret().to_owned() }));
    }
    if !web.accounts.has_second_factor(user.id).await? {
        return Ok(None);
    }
    Ok(Some(View::On { codes_left: web.accounts.recovery_codes_left(user.id).await? }))
}

pub async fn second_factor(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser) -> Page {
    match view(&web, &user).await? {
        Some(view) => Ok(page(StatusCode::OK, &SecondFactorPage { cx, form: Form::default(), view })),
        None => Ok(Redirect::to("/account#login").into_response()),
    }
}

pub async fn begin(State(web): State<Web>, CurrentUser(user): CurrentUser) -> Page {
    web.accounts.begin_second_factor(&user).await?;
    Ok(see_other("/account/second-factor", []))
}

#[derive(Deserialize)]
pub struct FirstCode {
    code: SecretString,
}

/// The first code turns it on and shows the recovery codes.
pub async fn confirm(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, sent: Sent<FirstCode>) -> Page {
    match web.accounts.confirm_second_factor(&user, &fields(sent)?.code).await {
        Ok(codes) => {
            let view = View::Fresh(codes.iter().map(|code| code.expose_secret().to_owned()).collect());
            Ok(page(StatusCode::OK, &SecondFactorPage { cx, form: Form::default(), view }))
        }
        Err(error) => again(&web, cx, &user, error).await,
    }
}

#[derive(Deserialize)]
pub struct Password {
    current: SecretString,
}

pub async fn remove(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, parts: Parts, sent: Sent<Password>) -> Page {
    match web.accounts.remove_second_factor(&user, &fields(sent)?.current, &origin_of(&parts)).await {
        Ok(()) => Ok(see_other("/account#login", [cx.flash(true, "flash-second-factor-off", "")])),
        Err(error) => again(&web, cx, &user, error).await,
    }
}

async fn again(web: &Web, cx: Cx, user: &crate::accounts::User, error: crate::accounts::AccountError) -> Page {
    let (status, form) = refused(cx.lang, Form::default(), error)?;
    match view(web, user).await? {
        Some(view) => Ok(page(status, &SecondFactorPage { cx, form, view })),
        None => Ok(Redirect::to("/account#login").into_response()),
    }
}
