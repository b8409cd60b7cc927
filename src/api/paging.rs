//! Lists in pieces: `Range: version ..; max=10, order=desc` and its answers (heroku.md 9.2).
//!
//! What is not understood is ignored, as clients send ranges with everything; `Next-Range` goes out
//! only with a 206 and is understood when it comes back.

use std::cmp::Ordering;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::http::Fault;

const DEFAULT_MAX: usize = 200;
const LARGEST_MAX: usize = 1_000;

/// Answers with the part of `items` that was asked for. `attributes` can be sorted by; the first is
/// the default. Every item has every attribute.
pub fn list(headers: &HeaderMap, attributes: &[&str], items: Vec<Value>) -> Result<Response, Fault> {
    let range = Wanted::read(headers.get(header::RANGE), attributes)?;
    let (items, more) = range.cut(items);
    let next = more.then(|| range.next(items.last()));
    let span = items.first().map(|first| {
        let edge = |item: &Value| printed(&item[&range.attribute]);
        format!("{} {}..{}", range.attribute, edge(first), items.last().map(edge).unwrap_or_default())
    });
    let status = if next.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, Json(Value::Array(items))).into_response();
    let set = |response: &mut Response, name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(&mut response, "accept-ranges", attributes.join(", "));
    if let Some(span) = span {
        set(&mut response, "content-range", span);
    }
    if let Some(next) = next {
        set(&mut response, "next-range", next);
    }
    Ok(response)
}

struct Wanted {
    attribute: String,
    from: Option<Bound>,
    to: Option<Bound>,
    max: usize,
    descending: bool,
}

struct Bound {
    value: String,
    exclusive: bool,
}

impl Bound {
    /// `]value` and `<value` are exclusive, blank is no bound.
    fn read(text: &str) -> Option<Bound> {
        let text = text.trim();
        let value = text.trim_start_matches([']', '<']);
        (!value.is_empty()).then(|| Bound { value: value.to_owned(), exclusive: value.len() < text.len() })
    }
}

impl Wanted {
    fn read(header: Option<&HeaderValue>, attributes: &[&str]) -> Result<Wanted, Fault> {
        let mut wanted = Wanted { attribute: attributes[0].to_owned(), from: None, to: None, max: DEFAULT_MAX, descending: false };
        let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (span, options) = text.split_once(';').unwrap_or((text, ""));
        if let Some((attribute, (from, to))) =
            span.trim().split_once(' ').and_then(|(attribute, bounds)| Some((attribute, bounds.split_once("..")?)))
        {
            if !attributes.contains(&attribute) {
                return Err(Fault::range_not_satisfiable(format!("This list can be sorted by {}.", attributes.join(", "))));
            }
            wanted.attribute = attribute.to_owned();
            (wanted.from, wanted.to) = (Bound::read(from), Bound::read(to));
        }
        for option in options.split([';', ',']) {
            match option.trim().split_once('=') {
                Some(("max", max)) => match max.trim().parse() {
                    Ok(max) if (1..=LARGEST_MAX).contains(&max) => wanted.max = max,
                    _ => return Err(Fault::range_not_satisfiable(format!("max must be between 1 and {LARGEST_MAX}."))),
                },
                Some(("order", order)) => wanted.descending = order.trim().eq_ignore_ascii_case("desc"),
                _ => {}
            }
        }
        Ok(wanted)
    }

    fn order(&self, a: &Value, b: &Value) -> Ordering {
        let ascending = match (a[&self.attribute].as_i64(), b[&self.attribute].as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => printed(&a[&self.attribute]).cmp(&printed(&b[&self.attribute])),
        };
        if self.descending { ascending.reverse() } else { ascending }
    }

    fn compare(&self, item: &Value, bound: &Bound) -> Ordering {
        let value = match bound.value.parse::<i64>() {
            Ok(number) if item[&self.attribute].is_i64() => Value::from(number),
            _ => Value::from(bound.value.as_str()),
        };
        self.order(item, &serde_json::json!({ &self.attribute: value }))
    }

    /// The wanted piece in order, and whether more follows. Items that sort as equal are never parted.
    fn cut(&self, mut items: Vec<Value>) -> (Vec<Value>, bool) {
        items.sort_by(|a, b| self.order(a, b));
        items.retain(|item| {
            let after = self.from.as_ref().is_none_or(|bound| match self.compare(item, bound) {
                Ordering::Less => false,
                Ordering::Equal => !bound.exclusive,
                Ordering::Greater => true,
            });
            let before = self.to.as_ref().is_none_or(|bound| match self.compare(item, bound) {
                Ordering::Less => true,
                Ordering::Equal => !bound.exclusive,
                Ordering::Greater => false,
            });
            after && before
        });
        let mut end = self.max.min(items.len());
        while end > 0 && end < items.len() && self.order(&items[end - 1], &items[end]).is_eq() {
            end += 1;
        }
        let more = end < items.len();
        items.truncate(end);
        (items, more)
    }

    fn next(&self, last: Option<&Value>) -> String {
        let last = last.map(|item| printed(&item[&self.attribute])).unwrap_or_default();
        let to = self.to.as_ref().map(|bound| format!("{}{}", if bound.exclusive { "<" } else { "" }, bound.value)).unwrap_or_default();
        let order = if self.descending { ", order=desc" } else { "" };
        format!("{} ]{last}..{to}; max={}{order}", self.attribute, self.max)
    }
}

fn printed(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(range: &str, count: i64) -> (u16, Vec<i64>, Option<String>) {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::try_from(range).unwrap())]);
        let items = (1..=count).map(|n| json!({ "id": format!("id-{n:04}"), "version": n })).collect();
        let wanted = Wanted::read(headers.get(header::RANGE), &["id", "version"]).map(|wanted| wanted.cut(items));
        let items: Vec<Value> = (1..=count).map(|n| json!({ "id": format!("id-{n:04}"), "version": n })).collect();
        match list(&headers, &["id", "version"], items) {
            Err(fault) => (fault.status.as_u16(), Vec::new(), None),
            Ok(response) => {
                let numbers = wanted.unwrap().0.iter().map(|item| item["version"].as_i64().unwrap()).collect();
                let next = response.headers().get("next-range").map(|next| next.to_str().unwrap().to_owned());
                (response.status().as_u16(), numbers, next)
            }
        }
    }

    #[test]
    fn ranges_of_real_clients_are_understood() {
        assert_eq!(page("version ..; max=3, order=desc", 12).1, [12, 11, 10]);
        assert_eq!(page("version ..; order=desc,max=1", 12).1, [12]);
        assert_eq!(page("version ..; order=desc,max=2;", 12).1, [12, 11]);
        assert_eq!(page("id ..; max=1000", 3), (200, vec![1, 2, 3], None));
        assert_eq!(page("id ..; ;", 3), (200, vec![1, 2, 3], None));
        assert_eq!(page("", 3), (200, vec![1, 2, 3], None));
        assert_eq!(page("bytes=0-100", 3), (200, vec![1, 2, 3], None));
        assert_eq!(page("version 2..3", 9).1, [2, 3]);
        assert_eq!(page("version ]2..<5", 9).1, [3, 4]);
        assert_eq!(page("colour ..", 9).0, 416);
        assert_eq!(page("id ..; max=0", 9).0, 416);
        assert_eq!(page("id ..; max=many", 9).0, 416);
    }

    #[test]
    fn following_next_range_visits_everything_once_in_both_orders() {
        for (start, expected) in
            [("version ..; max=5", (1..=12).collect::<Vec<_>>()), ("version ..; max=5, order=desc", (1..=12).rev().collect())]
        {
            let (mut range, mut seen) = (Some(start.to_owned()), Vec::new());
            while let Some(this) = range {
                let (status, numbers, next) = page(&this, 12);
                assert_eq!(status, if next.is_some() { 206 } else { 200 });
                seen.extend(numbers);
                range = next;
            }
            assert_eq!(seen, expected);
        }
        assert_eq!(page("", 201).0, 206, "200 by default");
    }
}
