//! Which files of a source never reach the slug: version control and caches, and what
//! `.slugignore` names (patterns as in `.gitignore`, without `!`; heroku.md 6.2).

/// Names dropped wherever they appear.
const ALWAYS: [&str; 6] = [".git", ".hg", "__pycache__", ".venv", "venv", ".DS_Store"];
/// Patterns read from one `.slugignore`; more are not looked at.
const MAX_PATTERNS: usize = 500;

/// The patterns of one `.slugignore`.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// Matched against the whole path; else against each name.
    anchored: bool,
    /// Matches folders only.
    folder: bool,
    parts: Vec<String>,
}

impl Ignore {
    /// Reads patterns: one a line, `#` comments; lines with `!` have no meaning and are skipped.
    pub fn parse(text: &str) -> Ignore {
        let patterns = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
            .take(MAX_PATTERNS)
            .filter_map(|line| {
                let folder = line.ends_with('/');
                let body = line.trim_end_matches('/');
                let parts: Vec<String> = body.trim_start_matches('/').split('/').map(str::to_owned).collect();
                let anchored = body.contains('/');
                (!body.is_empty() && parts.iter().filter(|part| *part == "**").count() <= 3).then_some(Pattern { anchored, folder, parts })
            })
            .collect();
        Ignore { patterns }
    }

    /// Whether a file at `path`, or a folder it is in, is dropped.
    pub fn drops(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        if names.iter().any(|name| ALWAYS.contains(name) || name.starts_with("._")) {
            return true;
        }
        (1..=names.len()).any(|length| {
            let is_folder = length < names.len();
            self.patterns.iter().any(|pattern| (is_folder || !pattern.folder) && pattern.matches(&names[..length]))
        })
    }
}

impl Pattern {
    fn matches(&self, names: &[&str]) -> bool {
        match (self.anchored, names.last()) {
            (true, _) => parts_match(&self.parts, names),
            (false, Some(name)) => name_matches(self.parts[0].as_bytes(), name.as_bytes()),
            (false, None) => false,
        }
    }
}

/// Part by part; `**` stands for any number of names.
fn parts_match(parts: &[String], names: &[&str]) -> bool {
    match parts.split_first() {
        None => names.is_empty(),
        Some((part, rest)) if part == "**" => (0..=names.len()).any(|skip| parts_match(rest, &names[skip..])),
        Some((part, rest)) => match names.split_first() {
            Some((name, others)) => name_matches(part.as_bytes(), name.as_bytes()) && parts_match(rest, others),
            None => false,
        },
    }
}

/// One name against a pattern with `*` and `?`, in time proportional to both lengths.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugignore_works_like_gitignore() {
        let ignore = Ignore::parse("# art\n*.psd\n/docs\nlogs/\nsrc/**/fixtures\ntest?\n!keep.psd\n");
        for dropped in [
            "a.psd",
            "deep/er/b.psd",
            "keep.psd",
            "docs/index.md",
            "logs/x",
            "a/logs/y",
            "src/fixtures/1",
            "src/a/b/fixtures/1",
            "test1",
            ".git/config",
            "pkg/__pycache__/m.pyc",
            "._Procfile",
        ] {
            assert!(ignore.drops(dropped), "{dropped}");
        }
        for kept in ["a.psdx", "site/docs/index.md", "logs", "src/fixture/1", "test12", ".gitignore", "Procfile"] {
            assert!(!ignore.drops(kept), "{kept}");
        }
    }

    #[test]
    fn a_costly_pattern_ends_soon() {
        let ignore = Ignore::parse(&format!("{}b\n", "a*".repeat(200)));
        assert!(!ignore.drops(&"a".repeat(250)));
    }
}
