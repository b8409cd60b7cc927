//! Where somebody lets a terminal in that waits in `heroku login`. It says what is known of the one who
//! asks; the form counts from this page alone (origin check), for who is logged in, and once.

use askama::Template;
use axum::extract::{Path, State};
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    accounts::Asker,
    http::CurrentUser,
    web::{
        Page, Web,
        cx::Cx,
        front::{Sent, fields},
        page,
    },
};

#[derive(Template)]
#[template(path = "login_terminal.html")]
struct TerminalPage {
    cx: Cx,
    email: String,
    view: View,
}

enum View {
    /// Who asks, and the name under which the answer goes.
    Asking {
        asker: Asker,
        name: String,
    },
    LetIn,
    SentAway,
    /// Nobody waits under this name: answered, too late, or never there.
    Nobody,
}

pub async fn ask(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(name): Path<String>) -> Page {
    let asker = web.accounts.terminal_login(&SecretString::from(name.as_str()));
    let (status, view) = match asker {
        Some(asker) => (StatusCode::OK, View::Asking { asker, name }),
        None => (StatusCode::NOT_FOUND, View::Nobody),
    };
    Ok(page(status, &TerminalPage { cx, email: user.email.to_string(), view }))
}

#[derive(Deserialize)]
pub struct Word {
    yes: bool,
}

pub async fn answer(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Path(name): Path<String>, sent: Sent<Word>) -> Page {
    let yes = fields(sent)?.yes;
    let heard = web.accounts.settle_terminal_login(&name.into(), yes.then_some(user.id));
    let (status, view) = match (heard, yes) {
        (false, _) => (StatusCode::NOT_FOUND, View::Nobody),
        (true, true) => (StatusCode::OK, View::LetIn),
        (true, false) => (StatusCode::OK, View::SentAway),
    };
    Ok(page(status, &TerminalPage { cx, email: user.email.to_string(), view }))
}
