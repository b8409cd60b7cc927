//! The app manifest: `siesta.yml` or Heroku's `app.json` (heroku.md 6.7). Both are YAML to us.
//! Values in, values out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    builder::{detect::Rejection, source::SourceTree},
    domain::{ConfigKey, ProcessType},
};

/// Files that are looked for, the first one wins.
const FILES: [&str; 3] = ["siesta.yml", "siesta.yaml", "app.json"];

/// What an app wants to be set up with at its first deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The file it was read from.
    pub file: &'static str,
    pub env: BTreeMap<ConfigKey, EnvVar>,
    /// Wanted number of dynos by process type.
    pub formation: BTreeMap<ProcessType, u32>,
    /// Runs once in a one-off dyno after the first deploy.
    pub postdeploy: Option<String>,
}

/// One config var of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvVar {
    Value(String),
    /// A random value is made for it.
    Secret,
    /// Somebody has to set it.
    Missing {
        required: bool,
    },
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    env: BTreeMap<String, RawEnv>,
    #[serde(default)]
    formation: BTreeMap<String, RawQuantity>,
    #[serde(default)]
    scripts: RawScripts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEnv {
    Plain(Scalar),
    Full {
        #[serde(alias = "default")]
        value: Option<Scalar>,
        required: Option<bool>,
        generator: Option<String>,
    },
}

/// YAML reads `1` and `true` as what they look like; a config var is text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Whole(number) => number.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawQuantity {
    Plain(u32),
    Full { quantity: Option<u32> },
}

#[derive(Default, Deserialize)]
struct RawScripts {
    postdeploy: Option<RawScript>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawScript {
    Plain(String),
    Full { command: String },
}

/// The manifest of a source, if it has one.
pub fn of(tree: &SourceTree) -> Result<Option<Manifest>, Rejection> {
    for file in FILES {
        if tree.too_large.contains(file) {
            return Err(Rejection(format!("{file} is larger than 64 KB.")));
        }
        if let Some(text) = tree.text(file) {
            return parse_app_manifest(file, &text).map(Some);
        }
    }
    Ok(None)
}

/// Parses a manifest. Aliases are refused and nodes are limited, so no small file grows large.
pub fn parse_app_manifest(file: &'static str, text: &str) -> Result<Manifest, Rejection> {
    if text.trim().is_empty() {
        return Ok(Manifest { file, ..Manifest::default() });
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_aliases: 0, max_nodes: 10_000, max_depth: 16, max_documents: 1 },
    };
    let raw: Raw = serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let why: String = error.to_string().lines().next().unwrap_or_default().chars().take(160).collect();
        Rejection(format!("{file} cannot be read ({why}). Correct it and deploy again."))
    })?;
    let mut manifest = Manifest { file, ..Manifest::default() };
    for (name, var) in raw.env {
        let key: ConfigKey = name.parse().map_err(|error| Rejection(format!("{file}: {error}")))?;
        manifest.env.insert(key, env_var(file, &name, var)?);
    }
    for (name, quantity) in raw.formation {
        let process_type: ProcessType = name.parse().map_err(|error| Rejection(format!("{file}: {error}")))?;
        let (RawQuantity::Plain(quantity) | RawQuantity::Full { quantity: Some(quantity) }) = quantity else { continue };
        manifest.formation.insert(process_type, quantity);
    }
    manifest.postdeploy = raw.scripts.postdeploy.map(|script| match script {
        RawScript::Plain(command) | RawScript::Full { command } => command,
    });
    Ok(manifest)
}

fn env_var(file: &str, name: &str, var: RawEnv) -> Result<EnvVar, Rejection> {
    Ok(match var {
        RawEnv::Plain(value) | RawEnv::Full { value: Some(value), .. } => EnvVar::Value(value.into_text()),
        RawEnv::Full { generator: Some(generator), .. } if generator == "secret" => EnvVar::Secret,
        RawEnv::Full { generator: Some(generator), .. } => {
            let generator: String = generator.chars().take(40).collect();
            return Err(Rejection(format!("{file}: the generator `{generator}` of {name} is not known. Use `secret`.")));
        }
        RawEnv::Full { required, .. } => EnvVar::Missing { required: required.unwrap_or(true) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_json_and_siesta_yml_are_read() {
        let json = r#"{"name": "Shop", "env": {"SECRET_KEY": {"description": "x", "generator": "secret"}, "TITLE": "Tienda",
            "WORKERS": {"value": 3}, "API_KEY": {"description": "from them"}, "EXTRA": {"required": false}},
            "formation": {"web": {"quantity": 1, "size": "free"}, "worker": 2}, "scripts": {"postdeploy": "flask init-db"}}"#;
        let manifest = parse_app_manifest("app.json", json).expect("a manifest");
        let env: Vec<(String, EnvVar)> = manifest.env.into_iter().map(|(key, var)| (key.to_string(), var)).collect();
        assert_eq!(
            env,
            [
                ("API_KEY".to_owned(), EnvVar::Missing { required: true }),
                ("EXTRA".to_owned(), EnvVar::Missing { required: false }),
                ("SECRET_KEY".to_owned(), EnvVar::Secret),
                ("TITLE".to_owned(), EnvVar::Value("Tienda".to_owned())),
                ("WORKERS".to_owned(), EnvVar::Value("3".to_owned())),
            ]
        );
        let formation: Vec<_> = manifest.formation.iter().map(|(name, quantity)| (name.as_str(), *quantity)).collect();
        assert_eq!(formation, [("web", 1), ("worker", 2)]);
        assert_eq!(manifest.postdeploy.as_deref(), Some("flask init-db"));
        let yaml = "# ours\nenv:\n  DEBUG: false\n  NOTE:\n    default: hello\nformation:\n  web: {quantity: 1}\n";
        let manifest = parse_app_manifest("siesta.yml", yaml).expect("a manifest");
        assert_eq!(manifest.env.values().cloned().collect::<Vec<_>>(), [EnvVar::Value("false".into()), EnvVar::Value("hello".into())]);
        assert_eq!(parse_app_manifest("siesta.yml", " \n").expect("empty").env.len(), 0);
    }

    #[test]
    fn faults_are_one_sentence() {
        for (text, says) in [
            ("{\"env\": ", "app.json cannot be read ("),
            ("env: {PORT: 1}", "app.json: `PORT` is set by the platform"),
            ("env: {\"1x\": a}", "app.json: `1x` is not a config var name."),
            ("env: {A: {generator: uuid}}", "app.json: the generator `uuid` of A is not known."),
            ("formation: {\"a b\": 1}", "app.json: `a b` is not a process type."),
        ] {
            let sentence = parse_app_manifest("app.json", text).expect_err(text).0;
            assert!(sentence.starts_with(says), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh"] {
            let (from, to) = pair.split_at(1);
            bomb.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(", ")));
        }
        bomb.push_str("env: *h\n");
        assert!(parse_app_manifest("siesta.yml", &bomb).expect_err("a bomb").0.starts_with("siesta.yml cannot be read"));
        let deep = format!("env: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(parse_app_manifest("siesta.yml", &deep).is_err());
    }
}
