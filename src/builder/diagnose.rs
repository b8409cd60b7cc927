//! From an installer's output to one sentence: what is wrong and what to do. Values in, values out.

use crate::builder::python::Manager;

/// The sentence for a failed installation, from the last lines of its output.
pub fn diagnose(output: &[String], manager: Manager) -> String {
    let text = joined(output);
    let file = manager.edited();
    if let Some(name) = between(&text, "Because ", " was not found in the package registry").and_then(last_word) {
        return format!("{file} asks for the package `{name}`, which does not exist. Correct its name in {file} and deploy again.");
    }
    if let Some(name) = between(&text, "there is no version of ", " and you require").and_then(first_word)
        && let Some((name, version)) = name.split_once("==")
    {
        return format!("{file} asks for {name} {version}, and there is no such version. Choose one that exists and deploy again.");
    }
    if let Some(name) = between(&text, "No matching distribution found for ", " ") {
        return format!("{file} asks for `{name}`, which does not exist. Correct the name or version in {file} and deploy again.");
    }
    if text.contains("No solution found when resolving dependencies") {
        return format!("The packages in {file} contradict each other. The output above names them; loosen one of their versions.");
    }
    if text.contains("is incompatible with the project's Python requirement") || text.contains("is not allowed by the project") {
        return format!("{file} asks for another Python version than this build uses. Name the version in .python-version, such as 3.12.");
    }
    if text.contains("The lockfile at `uv.lock` needs to be updated") {
        return "uv.lock does not fit pyproject.toml. Run `uv lock` and add the new uv.lock to the source.".to_owned();
    }
    if text.contains("pyproject.toml changed significantly since poetry.lock") || text.contains("poetry.lock is not up to date") {
        return "poetry.lock does not fit pyproject.toml. Run `poetry lock` and add the new poetry.lock to the source.".to_owned();
    }
    if text.contains("Pipfile.lock") && text.contains("out of date") {
        return "Pipfile.lock does not fit the Pipfile. Run `pipenv lock` and add the new Pipfile.lock to the source.".to_owned();
    }
    if text.contains("No file/folder found for package") {
        return "Poetry cannot find the package that pyproject.toml names. Add `package-mode = false` below [tool.poetry] and lock again."
            .to_owned();
    }
    if text.contains("Couldn't parse requirement in") {
        return "requirements.txt has a line that names no package or version. The output above shows it; correct it and deploy again."
            .to_owned();
    }
    if ["Could not connect", "dns error", "Failed to fetch", "error sending request", "Connection refused"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        return "The package index did not answer. Deploy again later; if it stays so, tell the operator of this server.".to_owned();
    }
    if text.contains("No space left on device") {
        return "The disk of this server is full. Tell its operator.".to_owned();
    }
    if let Some(name) = between(&text, "Failed to build `", "`") {
        return format!("The package {name} could not be compiled. The output above says why; a newer version may come ready-made.");
    }
    "Installing the dependencies failed. The output above says why; correct it and deploy again.".to_owned()
}

/// Lines as one text with single spaces: messages are wrapped at any word.
fn joined(output: &[String]) -> String {
    let words =
        output.iter().flat_map(|line| line.split_whitespace()).filter(|word| !matches!(*word, "cause:" | "│" | "╰─▶" | "×" | "├─▶"));
    let mut text = words.collect::<Vec<_>>().join(" ");
    text.push(' ');
    text
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text[start..].find(after)?;
    Some(&text[start..start + length])
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

fn last_word(text: &str) -> Option<&str> {
    text.split_whitespace().last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installers_are_put_into_one_sentence() {
        for (output, manager, says) in [
            (
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because flaskk-nope was not found in the package registry and you\n      require flaskk-nope, we can conclude",
                Manager::Pip,
                "requirements.txt asks for the package `flaskk-nope`, which does not exist.",
            ),
            (
                "error: No solution found when resolving dependencies\n  cause: Because there is no version of flask==99.0 and you require flask==99.0,\n",
                Manager::Pip,
                "requirements.txt asks for flask 99.0, and there is no such version.",
            ),
            (
                "  × No solution found when resolving dependencies:\n ╰─▶ Because a>1 and b<1",
                Manager::Pip,
                "The packages in requirements.txt contradict",
            ),
            ("error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.", Manager::Uv, "uv.lock does not fit"),
            (
                "pyproject.toml changed significantly since poetry.lock was last\ngenerated. Run `poetry lock`",
                Manager::Poetry,
                "poetry.lock does not fit",
            ),
            ("Your Pipfile.lock (abc) is out of date. Expected: (def).", Manager::Pipenv, "Pipfile.lock does not fit the Pipfile."),
            ("error: Failed to fetch: `https://index/simple/flask/`", Manager::Pip, "The package index did not answer."),
            ("  × Failed to build `psycopg2==2.9.9`\n", Manager::Pip, "The package psycopg2==2.9.9 could not be compiled."),
            (
                "error: Couldn't parse requirement in `requirements.txt` at position 0\n  cause: Unexpected",
                Manager::Pip,
                "requirements.txt has a line",
            ),
            ("what?", Manager::Uv, "Installing the dependencies failed."),
        ] {
            let lines: Vec<String> = output.lines().map(str::to_owned).collect();
            let sentence = diagnose(&lines, manager);
            assert!(sentence.starts_with(says), "{sentence}");
        }
    }
}
