//! What Heroku's API has and this server has not: each with a sentence that says what to use instead.
//! `openapi/absent.txt` is the list; the reference page shows it, and the fallback of the router answers
//! with it. Whatever Heroku's schema names is a route or stands there (a test holds both).

use std::sync::LazyLock;

use http::{Method, Uri};

use crate::http::Fault;

/// One thing that is not here.
#[derive(Clone, Debug)]
pub struct Absent {
    /// None: whatever the method.
    method: Option<Method>,
    /// As it stands in the list.
    pub path: &'static str,
    /// Why, and what to use instead, in English and in Spanish.
    pub why: [&'static str; 2],
}

impl Absent {
    /// The method as the list has it: `*` for any.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or("*", Method::as_str)
    }

    fn is(&self, method: &Method, path: &str) -> bool {
        let (pattern, more) = self.path.strip_suffix('+').map_or((self.path, false), |pattern| (pattern, true));
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.trim_end_matches('/').split('/').collect());
        let fits = pattern.len() == path.len() || (more && pattern.len() < path.len());
        let same = pattern.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given);
        fits && same && self.method.as_ref().is_none_or(|own| own == method)
    }
}

/// The list.
pub static ABSENT: LazyLock<Vec<Absent>> = LazyLock::new(|| {
    let mut lines = include_str!("openapi/absent.txt").lines().skip_while(|line| !line.is_empty()).skip(1);
    let mut all = Vec::new();
    while let (Some(call), Some(why)) = (lines.next(), lines.next()) {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let (english, spanish) = why.split_once(" | ").expect("two languages");
        let method = (method != "*").then(|| method.parse().expect("a method"));
        all.push(Absent { method, path, why: [english.trim(), spanish.trim()] });
    }
    all
});

/// Why this call is not here, in English; None: nobody ever said that it would be.
pub fn why(method: &Method, path: &str) -> Option<&'static str> {
    ABSENT.iter().find(|absent| absent.is(method, path)).map(|absent| absent.why[0])
}

/// What is answered where there is no route.
pub async fn no_route(method: Method, uri: Uri) -> Fault {
    let fault = Fault::no_route();
    match why(&method, uri.path()) {
        Some(why) => Fault { message: why.to_owned(), ..fault },
        None => fault,
    }
}
