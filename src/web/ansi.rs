//! What machines wrote, made safe for a page (security.md SR17): colours become classes, every
//! other control sequence, control character and direction override is dropped, the rest is escaped.

use std::fmt::{self, Write};

/// HTML of our own making: `to_html` alone makes it, so templates need no `safe`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// The colours and weights in force; numbers are those of the SGR table.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Style {
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    fore: Option<u8>,
    back: Option<u8>,
}

impl Style {
    /// Applies the parameters of one `ESC [ … m`.
    fn apply(&mut self, parameters: &str) {
        let mut codes = parameters.split([';', ':']).map(|code| if code.is_empty() { 0 } else { code.parse::<u16>().unwrap_or(u16::MAX) });
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                30..=37 => self.fore = Some((code - 30) as u8),
                39 => self.fore = None,
                40..=47 => self.back = Some((code - 40) as u8),
                49 => self.back = None,
                90..=97 => self.fore = Some((code - 90) as u8),
                100..=107 => self.back = Some((code - 100) as u8),
                38 | 48 => {
                    let chosen = match codes.next() {
                        Some(5) => codes.next().filter(|index| *index < 16).map(|index| (index % 8) as u8),
                        // A colour of 24 bits has no class of ours: its three numbers are passed over.
                        Some(2) => codes.by_ref().nth(2).and(None),
                        _ => None,
                    };
                    *(if code == 38 { &mut self.fore } else { &mut self.back }) = chosen;
                }
                _ => {}
            }
        }
    }

    fn classes(self) -> String {
        let flags = [(self.bold, "b1"), (self.dim, "b2"), (self.italic, "b3"), (self.underline, "b4")];
        let mut classes: Vec<String> = flags.iter().filter(|(on, _)| *on).map(|(_, class)| (*class).to_owned()).collect();
        classes.extend(self.fore.map(|n| format!("f{n}")));
        classes.extend(self.back.map(|n| format!("g{n}")));
        classes.join(" ")
    }
}

/// One line as HTML: text and `<span class>` only.
pub fn to_html(line: &str) -> Markup {
    let mut html = String::with_capacity(line.len() + 16);
    let (mut style, mut open) = (Style::default(), false);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\u{1b}' | '\u{9b}' | '\u{90}' | '\u{9d}' | '\u{98}' | '\u{9e}' | '\u{9f}' => {
                let (sequence, after) = split_sequence(c, rest);
                rest = after;
                let Some(parameters) = sequence else { continue };
                style.apply(parameters);
                if std::mem::replace(&mut open, style != Style::default()) {
                    html.push_str("</span>");
                }
                if open {
                    let _ = write!(html, "<span class=\"{}\">", style.classes());
                }
            }
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\t' => html.push_str("    "),
            c if c.is_control() || is_deceptive(c) => {}
            c => html.push(c),
        }
    }
    if open {
        html.push_str("</span>");
    }
    Markup(html)
}

/// The same line without any sequence, for places that show plain text.
pub fn to_text(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\u{1b}' | '\u{9b}' | '\u{90}' | '\u{9d}' | '\u{98}' | '\u{9e}' | '\u{9f}' => rest = split_sequence(c, rest).1,
            '\t' => text.push(' '),
            c if c.is_control() || is_deceptive(c) => {}
            c => text.push(c),
        }
    }
    text
}

/// Characters that turn the reading direction or hide: what is shown would not be what was written.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{e0000}'..='\u{e007f}')
}

/// Reads the sequence that `first` begins. Some(parameters) only for SGR; the second part is what follows.
fn split_sequence(first: char, rest: &str) -> (Option<&str>, &str) {
    let (kind, body) = match first {
        '\u{1b}' => match rest.chars().next() {
            Some(c) => (c, &rest[c.len_utf8()..]),
            None => return (None, rest),
        },
        '\u{9b}' => ('[', rest),
        _ => (']', rest),
    };
    match kind {
        '[' => {
            let end = body.find(|c: char| !matches!(c, ' '..='?'));
            let Some(end) = end else { return (None, "") };
            let last = body[end..].chars().next().expect("found there");
            let parameters = &body[..end];
            // A byte that cannot end the sequence belongs to the text again.
            let after = if matches!(last, '@'..='~') { &body[end + 1..] } else { &body[end..] };
            let plain = parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
            ((last == 'm' && plain).then_some(parameters), after)
        }
        // OSC, DCS, SOS, PM, APC: text up to BEL or ST; without an end the whole line is the sequence's.
        ']' | 'P' | 'X' | '^' | '_' => {
            let end = body.char_indices().find_map(|(at, c)| match c {
                '\u{7}' | '\u{9c}' => Some(at + c.len_utf8()),
                '\u{1b}' if body[at + 1..].starts_with('\\') => Some(at + 2),
                _ => None,
            });
            (None, end.map_or("", |end| &body[end..]))
        }
        ' '..='/' => (None, body.strip_prefix(|c: char| matches!(c, '0'..='~')).unwrap_or(body)),
        '0'..='~' => (None, body),
        _ => (None, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_html(line: &str) -> String {
        super::to_html(line).0
    }

    #[test]
    fn colours_become_classes_and_are_closed() {
        assert_eq!(to_html("\u{1b}[1;31mno\u{1b}[0m yes"), "<span class=\"b1 f1\">no</span> yes");
        assert_eq!(to_html("\u{1b}[32mopen"), "<span class=\"f2\">open</span>");
        assert_eq!(to_html("\u{1b}[91;44mx\u{1b}[39my\u{1b}[49mz"), "<span class=\"f1 g4\">x</span><span class=\"g4\">y</span>z");
        assert_eq!(to_html("\u{1b}[38;5;3ma\u{1b}[m"), "<span class=\"f3\">a</span>");
        assert_eq!(to_html("\u{1b}[38;2;1;2;3ma\u{1b}[0mb"), "ab");
    }

    #[test]
    fn everything_is_escaped() {
        assert_eq!(to_html("<script>alert(\"1\")</script>&'"), "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;");
        assert_eq!(to_html("\u{1b}[31m<b onload=x>"), "<span class=\"f1\">&lt;b onload=x&gt;</span>");
    }

    #[test]
    fn every_other_sequence_is_dropped() {
        for (raw, shown) in [
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\b", "alinkb"),
            ("a\u{1b}]52;c;ZXZpbA==\u{7}b", "ab"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{1b}[2J\u{1b}[10;10Hb", "ab"),
            ("a\u{9b}31mb\u{9b}0mc", "a<span class=\"f1\">b</span>c"),
            ("a\u{1b}[?25lb", "ab"),
            ("a\u{1b}(Bb", "ab"),
            ("a\u{1b}cb", "ab"),
            ("bell\u{7}back\u{8}nul\0", "bellbacknul"),
            ("a\u{202e}b\u{200b}c\u{2066}d", "abcd"),
            ("cut \u{1b}[31", "cut "),
            ("cut \u{1b}", "cut "),
            ("a\u{1b}[31<b>m", "a&gt;m"),
            ("a\u{1b}[31ñ", "añ"),
            ("a\u{1b}ñ", "añ"),
            ("a\u{1b}]never ends <b>", "a"),
        ] {
            assert_eq!(to_html(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn plain_text_has_no_sequence_left() {
        assert_eq!(to_text("\u{1b}[1m-----> Installing\u{1b}[0m\tx\u{7}"), "-----> Installing x");
    }

    proptest::proptest! {
        #[test]
        fn no_input_gets_a_control_or_an_unknown_tag_through(line in "(\\PC|[\u{0}-\u{1f}]|\u{1b}\\[|<|\u{9b}|;|m|3|1){0,60}") {
            let html = to_html(&line);
            proptest::prop_assert!(!html.chars().any(char::is_control));
            let without = html.replace("</span>", "");
            for piece in without.split('<').skip(1) {
                proptest::prop_assert!(piece.starts_with("span class=\""));
                let classes = &piece["span class=\"".len()..piece.find('>').unwrap() - 1];
                proptest::prop_assert!(classes.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' '));
            }
            proptest::prop_assert_eq!(html.matches("<span").count(), html.matches("</span>").count());
        }
    }
}
