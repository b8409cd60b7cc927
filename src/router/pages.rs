//! What visitors see when no app answers: small neutral pages in their language, or one line of
//! text for those who did not ask for HTML (heroku.md 3.4).

use std::sync::LazyLock;

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{self, ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY},
};
use sha2::{Digest, Sha256};

use crate::{
    domain::{ErrorCode, Timestamp},
    dynos::{Framed, Pages, Stage},
    router::head,
};

/// The pages. Each has its words in both languages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    NoSuchApp,
    /// The dyno crashed, fell silent, closed or answered nonsense.
    AppError,
    /// It starts; the page says how far it is and asks again by itself.
    Waking {
        stage: Stage,
    },
    /// The quota is used up.
    Resting {
        until: Timestamp,
        now: Timestamp,
    },
    Maintenance,
    Blank,
    NoWeb,
    /// Too many wait already, or the start takes too long.
    Busy,
    /// The machine has no room for another dyno.
    Full,
    /// The platform's own fault.
    Platform,
    BadRequest,
}

impl Page {
    /// The page of an error code.
    pub fn of(code: ErrorCode) -> Page {
        match code {
            ErrorCode::H80 => Page::Maintenance,
            ErrorCode::H81 => Page::Blank,
            ErrorCode::H14 => Page::NoWeb,
            ErrorCode::H11 | ErrorCode::H20 | ErrorCode::H22 => Page::Busy,
            ErrorCode::H26 | ErrorCode::H27 | ErrorCode::H28 | ErrorCode::H31 => Page::BadRequest,
            ErrorCode::H99 => Page::Platform,
            _ => Page::AppError,
        }
    }

    /// Seconds after which asking again makes sense.
    fn retry_after(self) -> Option<u64> {
        match self {
            Page::Waking { .. } => Some(REFRESH.into()),
            Page::Busy => Some(10),
            Page::Platform => Some(30),
            Page::Full => Some(60),
            Page::Maintenance => Some(300),
            Page::Resting { until, now } => Some(until.since(now).as_secs().max(1)),
            Page::NoSuchApp | Page::AppError | Page::Blank | Page::NoWeb | Page::BadRequest => None,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of texts")]
    fn words(self, spanish: bool) -> Words {
        let (en, es) = match self {
            Page::NoSuchApp => (
                Words::new(
                    "No such app",
                    "There is no app configured at that hostname.",
                    "Perhaps the app owner has renamed it, or you mistyped the URL.",
                ),
                Words::new(
                    "No existe esa app",
                    "No hay ninguna app configurada en ese nombre de host.",
                    "Quizá su dueño le cambió el nombre, o la URL tiene un error.",
                ),
            ),
            Page::AppError => (
                Words::new(
                    "Application error",
                    "An error occurred in the application and your page could not be served.",
                    "If you are the application owner, check your logs for details.",
                ),
                Words::new(
                    "Error de la aplicación",
                    "Ocurrió un error en la aplicación y no se pudo mostrar tu página.",
                    "Si eres su dueño, mira los registros (logs) para ver los detalles.",
                ),
            ),
            Page::Waking { .. } => (
                Words::new("Starting, a few seconds", "This app was asleep and is waking up.", "The page opens by itself."),
                Words::new("Arrancando, unos segundos", "Esta app estaba dormida y se está despertando.", "La página se abre sola."),
            ),
            Page::Resting { .. } => (
                Words::new("This app is resting", "It has used up its hours for today.", "It can wake again at"),
                Words::new("Esta app está descansando", "Ya usó sus horas de hoy.", "Puede volver a despertar a las"),
            ),
            Page::Maintenance => (
                Words::new("Offline for maintenance", "This application is undergoing maintenance right now.", "Please check back later."),
                Words::new(
                    "Fuera de línea por mantenimiento",
                    "Esta aplicación está en mantenimiento en este momento.",
                    "Vuelve a intentarlo más tarde.",
                ),
            ),
            Page::Blank => (
                Words::new("Nothing here yet", "This app has been created, but no code has been deployed to it.", ""),
                Words::new("Aquí aún no hay nada", "Esta app ya existe, pero todavía no tiene código desplegado.", ""),
            ),
            Page::NoWeb => (
                Words::new("No web process", "This app has no web process running.", "Its owner can scale web to 1."),
                Words::new("Sin proceso web", "Esta app no tiene ningún proceso web en marcha.", "Su dueño puede escalar web a 1."),
            ),
            Page::Busy => (
                Words::new("Too busy", "This app could not take your request in time.", "Please try again in a moment."),
                Words::new("Demasiada carga", "Esta app no pudo atender tu petición a tiempo.", "Inténtalo de nuevo en un momento."),
            ),
            Page::Platform => (
                Words::new("Server error", "The server could not start this app.", "Its owner finds the reason in the app's logs."),
                Words::new(
                    "Error del servidor",
                    "El servidor no pudo arrancar esta app.",
                    "Su dueño encuentra la razón en los registros (logs).",
                ),
            ),
            Page::Full => (
                Words::new("The server is full", "It has no room to start this app now.", "Please try again in a minute."),
                Words::new(
                    "El servidor está lleno",
                    "Ahora no tiene sitio para arrancar esta app.",
                    "Inténtalo de nuevo dentro de un minuto.",
                ),
            ),
            Page::BadRequest => (
                Words::new("Bad request", "The server could not understand this request.", ""),
                Words::new("Petición incorrecta", "El servidor no pudo entender esta petición.", ""),
            ),
        };
        let mut words = if spanish { es } else { en };
        if let Page::Resting { until, now } = self {
            let (left, within) = (until.since(now).as_secs().div_ceil(60), if spanish { "dentro de" } else { "in" });
            let left = format!("{within} {} h {} min", left / 60, left % 60);
            words.note = format!("{} {} UTC, {left}.", words.note, until.to_jiff().strftime("%H:%M"));
        }
        words
    }

    /// What a waking app goes through.
    fn steps(self, spanish: bool) -> Vec<Step> {
        let Page::Waking { stage } = self else { return Vec::new() };
        let words = [
            (Stage::Queued, "Its turn to start", "Su turno para arrancar"),
            (Stage::Image, "Code and libraries", "Código y bibliotecas"),
            (Stage::Container, "Container", "Contenedor"),
            (Stage::Booting, "The app boots", "La app arranca"),
        ];
        let step = |(at, en, es)| {
            let class = match stage.cmp(&at) {
                std::cmp::Ordering::Greater => "done",
                std::cmp::Ordering::Equal => "now",
                std::cmp::Ordering::Less => "next",
            };
            Step { class, text: if spanish { es } else { en } }
        };
        words.map(step).into()
    }

    /// The page that an app has of its own for this one.
    pub fn framed(self, own: &Pages) -> Option<&Framed> {
        match self {
            Page::Maintenance => own.maintenance.as_ref(),
            Page::AppError | Page::Busy | Page::NoWeb => own.error.as_ref(),
            _ => None,
        }
    }

    /// The response that frames the app's own page.
    pub fn frame(self, framed: &Framed, status: StatusCode, wishes: &Wishes, close: bool) -> Response<Bytes> {
        let mut response = self.response(status, wishes, close);
        let spanish = wishes.language.as_ref().is_some_and(prefers_spanish);
        let sheet = Frame { lang: if spanish { "es" } else { "en" }, title: self.words(spanish).title, address: &framed.address };
        let policy = format!(
            "default-src 'none'; style-src '{}'; frame-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            style_hash(FRAME_STYLE),
            framed.origin
        );
        if let (Ok(html), Ok(policy)) = (sheet.render(), HeaderValue::from_str(&policy)) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            *response.body_mut() = Bytes::from(html);
        }
        response
    }

    /// The response, in the language and form that the visitor asks for.
    pub fn response(self, status: StatusCode, wishes: &Wishes, close: bool) -> Response<Bytes> {
        let spanish = wishes.language.as_ref().is_some_and(prefers_spanish);
        let words = self.words(spanish);
        let html = wishes.html();
        let body = if html { words.html(spanish, self.steps(spanish)) } else { words.text() };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let head = response.headers_mut();
        head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.insert(VARY, HeaderValue::from_static("accept, accept-language"));
        head.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        head.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
        if html {
            head.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            head.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        } else {
            head.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        if html && matches!(self, Page::Waking { .. }) {
            // By header: an element of the page that does it is one that readers of screens are warned of.
            head.insert(header::REFRESH, REFRESH.into());
        }
        if let Some(seconds) = self.retry_after() {
            head.insert(RETRY_AFTER, seconds.into());
        }
        if close {
            head.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What a visitor wants of a page. Cheap: kept for every request, needed by few.
pub struct Wishes {
    accept: Option<HeaderValue>,
    language: Option<HeaderValue>,
}

impl Wishes {
    pub fn of(headers: &HeaderMap) -> Wishes {
        Wishes { accept: headers.get(ACCEPT).cloned(), language: headers.get(ACCEPT_LANGUAGE).cloned() }
    }

    /// The visitor can show a page.
    pub fn html(&self) -> bool {
        self.accept.as_ref().is_some_and(head::names_html)
    }
}

struct Words {
    title: &'static str,
    text: &'static str,
    note: String,
}

impl Words {
    fn new(title: &'static str, text: &'static str, note: &str) -> Words {
        Words { title, text, note: note.to_owned() }
    }

    fn html(&self, spanish: bool, steps: Vec<Step>) -> String {
        let lang = if spanish { "es" } else { "en" };
        let page = Sheet { lang, title: self.title, text: self.text, note: &self.note, steps };
        page.render().unwrap_or_else(|_| self.text())
    }

    fn text(&self) -> String {
        format!("{}. {} {}", self.title, self.text, self.note).trim_end().to_owned() + "\n"
    }
}

#[derive(Template)]
#[template(path = "router/page.html")]
struct Sheet<'a> {
    lang: &'a str,
    title: &'a str,
    text: &'a str,
    note: &'a str,
    /// What a waking app goes through.
    steps: Vec<Step>,
}

struct Step {
    class: &'static str,
    text: &'static str,
}

/// Seconds until a waking page asks again; the request behind it is held in its turn.
const REFRESH: u32 = 2;

#[derive(Template)]
#[template(path = "router/frame.html")]
struct Frame<'a> {
    lang: &'a str,
    title: &'a str,
    address: &'a str,
}

const FRAME_STYLE: &str = "html,body,iframe{margin:0;border:0;padding:0;width:100%;height:100%;display:block;overflow:hidden}";

fn style_hash(style: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(style.as_bytes())))
}

/// Nothing but the page's own style may load.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let page = Words::new("", "", "").html(false, Vec::new());
    let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(style, _)| style);
    let hash = style_hash(style);
    let policy = format!("default-src 'none'; style-src '{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    HeaderValue::from_str(&policy).expect("a hash in base64 is a header value")
});

/// Whether Spanish comes before English in `Accept-Language`, by its weights.
fn prefers_spanish(languages: &HeaderValue) -> bool {
    let languages = languages.to_str().unwrap_or("");
    let (mut spanish, mut english) = (0.0_f32, 0.0_f32);
    for item in languages.split(',').take(20) {
        let (tag, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let weight: f32 = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(1.0);
        match tag.trim().split('-').next().unwrap_or("") {
            tag if tag.eq_ignore_ascii_case("es") => spanish = spanish.max(weight),
            tag if tag.eq_ignore_ascii_case("en") => english = english.max(weight),
            _ => {}
        }
    }
    let first_is_spanish = languages.trim_start().get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case("es"));
    spanish > english || (spanish > 0.0 && spanish == english && first_is_spanish)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn asked(page: Page, accept: &'static str, language: &'static str) -> Response<Bytes> {
        let pairs: [(HeaderName, &'static str); 2] = [(ACCEPT, accept), (ACCEPT_LANGUAGE, language)];
        let headers = pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        page.response(StatusCode::SERVICE_UNAVAILABLE, &Wishes::of(&headers), false)
    }

    #[test]
    fn every_page_speaks_both_languages_and_says_when_to_ask_again() {
        let now = Timestamp::from_secs(1_430_000_000);
        let until = now + std::time::Duration::from_secs(3 * 3600);
        for (page, after) in [
            (Page::NoSuchApp, None),
            (Page::AppError, None),
            (Page::Waking { stage: Stage::Booting }, Some("2")),
            (Page::Resting { until, now }, Some("10800")),
            (Page::Maintenance, Some("300")),
            (Page::Blank, None),
            (Page::NoWeb, None),
            (Page::Busy, Some("10")),
            (Page::Full, Some("60")),
            (Page::Platform, Some("30")),
            (Page::BadRequest, None),
        ] {
            for accept in ["text/html", "*/*"] {
                let [english, spanish] = ["en-GB", "es-MX,en;q=0.5"].map(|language| asked(page, accept, language));
                assert_ne!(english.body(), spanish.body(), "{page:?}");
                for (answer, lang) in [(english, "en"), (spanish, "es")] {
                    let text = String::from_utf8(answer.body().to_vec()).unwrap();
                    assert_eq!(text.contains(&format!("<html lang=\"{lang}\">")), accept == "text/html", "{text}");
                    assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), after, "{page:?}");
                    let left = if lang == "en" { "in 3 h 0 min." } else { "dentro de 3 h 0 min." };
                    assert_eq!(text.contains(left), matches!(page, Page::Resting { .. }), "{text}");
                    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
                    assert!(!text.contains("<script"), "no script, no tracker: {text}");
                }
            }
        }
    }

    #[test]
    fn the_language_of_a_page_follows_the_weights() {
        for (given, spanish) in [
            ("", false),
            ("es", true),
            ("es-MX,en;q=0.5", true),
            ("en,es", false),
            ("es,en", true),
            ("en;q=0.3, es;q=0.4", true),
            ("de", false),
        ] {
            assert_eq!(prefers_spanish(&HeaderValue::from_str(given).unwrap()), spanish, "{given}");
        }
    }
}
