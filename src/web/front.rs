//! The pages before the door: claim, log in, sign up, reset, language and theme.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    accounts::{AccountError, LogIn, SignUp, User},
    domain::UserId,
    http::{ActedBy, Fault, MaybeUser, end_session_cookie, origin_of, session_cookie, session_token},
    web::{
        Page, Web,
        cx::{Cx, Theme},
        form::Form,
        lang::Lang,
        oops::local_path,
        page, say, see_other,
    },
};

#[derive(Template)]
#[template(path = "claim.html")]
struct ClaimPage {
    cx: Cx,
    form: Form,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    cx: Cx,
    form: Form,
    /// Whether a link to the sign-up makes sense.
    open: bool,
    /// Whether GitHub can say who somebody is.
    github: bool,
}

#[derive(Template)]
#[template(path = "login_code.html")]
struct CodePage {
    cx: Cx,
    form: Form,
    /// Good for some minutes and with a code only.
    ticket: String,
}

#[derive(Template)]
#[template(path = "signup.html")]
struct SignUpPage {
    cx: Cx,
    form: Form,
    allowed: bool,
    refusal: String,
    /// Whether GitHub can say who somebody is.
    github: bool,
}

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage {
    cx: Cx,
    form: Form,
}

/// The body of a form; one that does not fit is the sender's mistake.
pub type Sent<T> = Result<axum::Form<T>, axum::extract::rejection::FormRejection>;

/// The fields of a form that was sent.
pub fn fields<T>(sent: Sent<T>) -> Result<T, Fault> {
    sent.map(|axum::Form(fields)| fields).map_err(|error| Fault { status: error.status(), ..Fault::bad_request(error.body_text()) })
}

/// The form again with what is wrong, or the fault when that is not for a form.
pub fn refused(lang: Lang, form: Form, error: AccountError) -> Result<(StatusCode, Form), Fault> {
    let Some((field, text)) = say::account(lang, &error) else { return Err(error.into()) };
    let status = match error {
        AccountError::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok((status, form.wrong(field, text)))
}

/// The value of a radio button of the sign-up question.
pub fn mode_word(mode: SignUp) -> &'static str {
    match mode {
        SignUp::Open => "open",
        SignUp::Invite => "invite",
        SignUp::Closed => "closed",
    }
}

/// What a radio button of the sign-up question means.
pub fn sign_up_mode(word: &str) -> Option<SignUp> {
    [SignUp::Open, SignUp::Invite, SignUp::Closed].into_iter().find(|mode| mode_word(*mode) == word)
}

/// Says who acted, for the audit log: nobody was known when the request came.
fn acted(user: &User, mut response: Response) -> Response {
    response.extensions_mut().insert(ActedBy(user.email.to_string()));
    response
}

/// Whether the pages offer GitHub.
async fn github(web: &Web) -> Result<bool, Fault> {
    Ok(web.connections.registration().await?.is_some())
}

pub async fn claim_page(State(web): State<Web>, cx: Cx) -> Page {
    if web.accounts.is_claimed().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let mode = if web.config.options.listen.ip().is_loopback() { SignUp::Open } else { SignUp::Invite };
    Ok(page(StatusCode::OK, &ClaimPage { cx, form: Form::default().filled("sign_up", mode_word(mode)) }))
}

#[derive(Deserialize)]
pub struct Claim {
    token: SecretString,
    email: String,
    password: SecretString,
    sign_up: String,
}

pub async fn claim(State(web): State<Web>, cx: Cx, parts: Parts, sent: Sent<Claim>) -> Page {
    let Claim { token, email, password, sign_up } = fields(sent)?;
    let mode = sign_up_mode(&sign_up).ok_or_else(|| Fault::bad_request("Choose who may sign up."))?;
    let token: SecretString = token.expose_secret().trim().into();
    match web.accounts.claim(&token, &email, &password, mode, &origin_of(&parts)).await {
        Ok((user, session)) => {
            Ok(acted(&user, see_other("/apps", [session_cookie(&web.config, &session), cx.flash(true, "flash-claimed", "")])))
        }
        Err(error) => {
            let form = Form::default().filled("email", email).filled("sign_up", sign_up);
            let (status, form) = refused(cx.lang, form, error)?;
            Ok(page(status, &ClaimPage { cx, form }))
        }
    }
}

#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

pub async fn login_page(State(web): State<Web>, cx: Cx, MaybeUser(user): MaybeUser, Query(query): Query<Next>) -> Page {
    if user.is_some() {
        return Ok(Redirect::to(local_path(&query.next)).into_response());
    }
    let open = web.accounts.sign_up_mode().await? == SignUp::Open;
    Ok(page(StatusCode::OK, &LoginPage { cx, form: Form::default().filled("next", query.next), open, github: github(&web).await? }))
}

#[derive(Deserialize)]
pub struct Login {
    email: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

pub async fn log_in(State(web): State<Web>, cx: Cx, parts: Parts, sent: Sent<Login>) -> Page {
    let Login { email, password, next } = fields(sent)?;
    match web.accounts.log_in(&email, &password, &origin_of(&parts)).await {
        Ok(LogIn::Session(user, session)) => Ok(acted(&user, see_other(local_path(&next), [session_cookie(&web.config, &session)]))),
        Ok(LogIn::Code { ticket }) => ask_code(cx, &ticket, &next),
        Err(error) => {
            let form = Form::default().filled("email", email).filled("next", next);
            let (status, form) = refused(cx.lang, form, error)?;
            let open = web.accounts.sign_up_mode().await? == SignUp::Open;
            Ok(page(status, &LoginPage { cx, form, open, github: github(&web).await? }))
        }
    }
}

/// Asks for the code of the second factor; then it goes to `next`.
pub fn ask_code(cx: Cx, ticket: &SecretString, next: &str) -> Page {
    let form = Form::default().filled("next", next);
    Ok(page(StatusCode::OK, &CodePage { cx, form, ticket: ticket.expose_secret().to_owned() }))
}

#[derive(Deserialize)]
pub struct LoginCode {
    ticket: SecretString,
    code: SecretString,
    #[serde(default)]
    next: String,
}

/// The second step of a login.
pub async fn log_in_code(State(web): State<Web>, cx: Cx, parts: Parts, sent: Sent<LoginCode>) -> Page {
    let LoginCode { ticket, code, next } = fields(sent)?;
    match web.accounts.finish_log_in(&ticket, &code, &origin_of(&parts)).await {
        Ok((user, session)) => Ok(acted(&user, see_other(local_path(&next), [session_cookie(&web.config, &session)]))),
        Err(AccountError::BadLink) => Ok(see_other("/login", [cx.flash(false, "login-code-late", "")])),
        Err(error) => {
            let (status, form) = refused(cx.lang, Form::default().filled("next", next), error)?;
            Ok(page(status, &CodePage { cx, form, ticket: ticket.expose_secret().to_owned() }))
        }
    }
}

pub async fn log_out(State(web): State<Web>, cx: Cx, headers: HeaderMap) -> Page {
    if let Some(session) = session_token(&headers, &web.config) {
        web.accounts.log_out(&session).await?;
    }
    Ok(see_other("/login", [end_session_cookie(&web.config), cx.flash(true, "flash-logged-out", "")]))
}

pub async fn sign_up_page(State(web): State<Web>, cx: Cx) -> Page {
    let refusal = match web.accounts.sign_up_mode().await? {
        SignUp::Open => None,
        SignUp::Invite => Some(cx.t("sign-up-needs-invite")),
        SignUp::Closed => Some(cx.t("sign-up-is-closed")),
    };
    let (allowed, refusal) = (refusal.is_none(), refusal.unwrap_or_default());
    Ok(page(StatusCode::OK, &SignUpPage { cx, form: Form::default(), allowed, refusal, github: github(&web).await? }))
}

pub async fn invite_page(State(web): State<Web>, cx: Cx, Path(token): Path<String>) -> Page {
    let form = Form::default().filled("invite", token);
    Ok(page(StatusCode::OK, &SignUpPage { cx, form, allowed: true, refusal: String::new(), github: github(&web).await? }))
}

#[derive(Deserialize)]
pub struct SignUpForm {
    email: String,
    password: SecretString,
    #[serde(default)]
    invite: String,
}

pub async fn sign_up(State(web): State<Web>, cx: Cx, parts: Parts, sent: Sent<SignUpForm>) -> Page {
    let SignUpForm { email, password, invite } = fields(sent)?;
    let link: Option<SecretString> = (!invite.is_empty()).then(|| invite.as_str().into());
    match web.accounts.sign_up(&email, &password, link.as_ref(), &origin_of(&parts)).await {
        Ok((user, session)) => Ok(acted(&user, see_other("/apps", [session_cookie(&web.config, &session)]))),
        Err(error) => {
            let form = Form::default().filled("email", email).filled("invite", invite);
            let (status, form) = refused(cx.lang, form, error)?;
            Ok(page(status, &SignUpPage { cx, form, allowed: true, refusal: String::new(), github: github(&web).await? }))
        }
    }
}

pub async fn reset_page(cx: Cx) -> Page {
    Ok(page(StatusCode::OK, &ResetPage { cx, form: Form::default() }))
}

#[derive(Deserialize)]
pub struct Reset {
    password: SecretString,
}

pub async fn reset(State(web): State<Web>, cx: Cx, Path(link): Path<String>, sent: Sent<Reset>) -> Page {
    let Reset { password } = fields(sent)?;
    match web.accounts.reset_password(&link.into(), &password).await {
        Ok(user) => Ok(acted(&user, see_other("/login", [cx.flash(true, "flash-password-set", "")]))),
        Err(error) => {
            let (status, form) = refused(cx.lang, Form::default(), error)?;
            Ok(page(status, &ResetPage { cx, form }))
        }
    }
}

#[derive(Deserialize)]
pub struct Preferences {
    language: Option<String>,
    theme: Option<String>,
    #[serde(default)]
    back: String,
}

/// Language and theme: kept in a cookie, and in the account of who is signed in.
pub async fn preferences(State(web): State<Web>, cx: Cx, MaybeUser(user): MaybeUser, sent: Sent<Preferences>) -> Page {
    let Preferences { language, theme, back } = fields(sent)?;
    let back = local_path(&back).to_owned();
    let user = user.map(|user| user.id);
    match (language.as_deref().and_then(Lang::parse), theme) {
        (Some(lang), _) => set_language(&web, &cx, user, lang, &back).await,
        (None, Some(theme)) => set_theme(&web, &cx, user, Theme::parse(&theme), &back).await,
        (None, None) => Err(Fault::bad_request("Choose a language or a theme.")),
    }
}

async fn set_language(web: &Web, cx: &Cx, user: Option<UserId>, lang: Lang, back: &str) -> Page {
    if let Some(user) = user {
        web.accounts.set_language(user, Some(lang.code())).await?;
    }
    Ok(see_other(back, [cx.language_cookie(lang)]))
}

async fn set_theme(web: &Web, cx: &Cx, user: Option<UserId>, theme: Option<Theme>, back: &str) -> Page {
    if let Some(user) = user {
        web.accounts.set_theme(user, theme.map(Theme::code)).await?;
    }
    Ok(see_other(back, [cx.theme_cookie(theme)]))
}
