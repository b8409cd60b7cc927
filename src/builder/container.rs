//! The build container: code and cached dependencies go in, `/opt/siesta/build` runs, code and
//! dependencies come out as files. Made anew for every build, thrown away after it (security.md SR5).

use std::{collections::VecDeque, io, path::PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use secrecy::ExposeSecret;

use crate::{
    builder::{BuildError, BuilderParts, detect::BuildPlan, diagnose::diagnose, output::Log},
    domain::{BuildId, ConfigVars, app::App},
    engine::{
        ContainerId, ImageRef,
        spec::{AppUid, BuildInput, LABEL_BUILD, NetworkRange, build_spec, network_spec},
    },
    fail_point,
    slugs::{self, files, files::Stored},
};

const SCRIPT: &str = "/opt/siesta/build";
/// Where an operator's certificates lie in the container.
const CA_PATH: &str = "opt/siesta/ca.pem";
/// Lines kept for the diagnosis.
const TAIL: usize = 200;
/// A line that belongs to the platform, not to the user, begins with it.
const RECORD: char = '\u{1e}';

/// Variables of the server that builds get with `--build-proxy`.
const PASSED_ON: [&str; 14] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
];

/// Variables that name a file of certificates.
const CA_NAMES: [&str; 7] =
    ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"];

/// What a build container gets.
pub struct Job<'a> {
    pub parts: &'a BuilderParts,
    pub app: &'a App,
    pub build: BuildId,
    pub plan: &'a BuildPlan,
    pub config: &'a ConfigVars,
    /// The stored code.
    pub code: Stored,
    /// Stored dependencies of an earlier build that fit.
    pub deps: Option<String>,
}

/// What comes out of it.
pub struct Built {
    pub code: Stored,
    /// None: the dependencies that went in are still right.
    pub deps: Option<Stored>,
    /// The Python version used, where dependencies were installed.
    pub python: Option<String>,
}

/// Runs one build container from its creation to its removal.
pub async fn run(job: &Job<'_>, log: &mut Log) -> Result<Built, BuildError> {
    let container = prepare(job).await?;
    let built = run_in(job, &container, log).await;
    job.parts.engine.remove(container).await?;
    built
}

/// Removes whatever containers a build has.
pub async fn clean_up(parts: &BuilderParts, build: BuildId) -> Result<(), BuildError> {
    let label = build.to_string();
    for container in parts.engine.list().await? {
        if container.labels.get(LABEL_BUILD) == Some(&label) {
            parts.engine.remove(container.id).await?;
        }
    }
    Ok(())
}

/// The cache volume of an app.
pub fn cache_volume(instance: &str, app_number: u32) -> String {
    format!("siesta-{instance}-cache-{app_number}")
}

/// Creates the container and puts everything in.
async fn prepare(job: &Job<'_>) -> Result<ContainerId, BuildError> {
    let Job { parts, app, .. } = job;
    let options = &parts.config.options;
    let instance = parts.slugs.instance();
    let image = ImageRef(options.stack_build.clone());
    parts.slugs.ensure_stack(&image).await?;
    let range: NetworkRange = options.network_range.parse()?;
    let network = network_spec(instance, app.id, app.number, range)?;
    parts.engine.ensure_network(network.clone()).await?;
    let spec = build_spec(&BuildInput {
        instance,
        app: app.id,
        app_number: app.number,
        build: job.build,
        image,
        command: vec![SCRIPT.to_owned()],
        env: environment(job),
        network: network.name,
        cache_volume: Some(cache_volume(instance, app.number)),
        memory_bytes: parts.plans.of(job.app).build_memory_bytes,
        nano_cpus: parts.config.limits.build_nano_cpus,
    });
    let container = parts.engine.create(spec).await?;
    let mut layers = vec![(PathBuf::from("/"), slugs::accounts(AppUid::of(app.number))?)];
    if let Some(ca) = &options.build_ca {
        layers.push((PathBuf::from("/"), one_file(CA_PATH, &tokio::fs::read(ca).await?)?));
    }
    layers.push((PathBuf::from("/"), parts.slugs.open_file(&job.code.sha256)?));
    if let Some(deps) = &job.deps {
        layers.push((PathBuf::from("/opt"), parts.slugs.open_file(deps)?));
    }
    for (path, tar) in layers {
        parts.engine.put_archive(container.clone(), path, tar).await?;
    }
    Ok(container)
}

/// A tar of one file that everybody may read.
fn one_file(path: &str, content: &[u8]) -> io::Result<crate::engine::ByteStream> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, path, content)?;
    Ok(stream::iter([Ok(Bytes::from(tar.into_inner()?))]).boxed())
}

/// Config vars (never `LD_*`: decisions 26) and the plan.
fn environment(job: &Job<'_>) -> Vec<(String, String)> {
    let passed = || job.config.iter().filter(|(key, _)| !key.as_str().starts_with("LD_"));
    let platform: serde_json::Map<String, serde_json::Value> =
        platform_variables(job.parts).into_iter().map(|(name, value)| (name, value.into())).collect();
    let plan = serde_json::json!({
        "python": job.plan.python.as_ref().map(|wanted| &wanted.version),
        "python_mirror": job.parts.config.options.python_mirror,
        "manager": job.plan.manager,
        "install": job.deps.is_none(),
        "pre_compile": job.plan.pre_compile,
        "post_compile": job.plan.post_compile,
        "manage_py": job.plan.manage_py,
        "env": platform,
        "config": passed().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
    });
    let mut env: Vec<(String, String)> = passed().map(|(key, value)| (key.to_string(), value.expose_secret().to_owned())).collect();
    env.push(("SIESTA_PLAN".to_owned(), plan.to_string()));
    env
}

/// Certificates, proxies and indexes, as far as the operator hands them on.
fn platform_variables(parts: &BuilderParts) -> Vec<(String, String)> {
    let options = &parts.config.options;
    let mut variables = Vec::new();
    if options.build_ca.is_some() {
        variables.extend(CA_NAMES.map(|name| (name.to_owned(), format!("/{CA_PATH}"))));
    }
    if options.build_proxy {
        variables.extend(handed_on(|name| std::env::var(name).ok()));
    }
    variables
}

/// The server's own variables that builds get. uv does not read pip's index, so it is told.
fn handed_on(own: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut variables: Vec<_> = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), own(name)?))).collect();
    if own("UV_DEFAULT_INDEX").or_else(|| own("UV_INDEX_URL")).is_none() {
        variables.extend(own("PIP_INDEX_URL").map(|index| ("UV_DEFAULT_INDEX".to_owned(), index)));
    }
    variables
}

/// What the script said for the platform, and its last lines.
#[derive(Default)]
struct Heard {
    python: Option<String>,
    error: Option<String>,
    tail: VecDeque<String>,
}

impl Heard {
    fn line(&mut self, line: &str, log: &mut Log) {
        let Some(record) = line.strip_prefix(RECORD) else {
            log.line(line);
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line.to_owned());
            return;
        };
        let record: serde_json::Value = serde_json::from_str(record).unwrap_or_default();
        let text = |key: &str| record.get(key).and_then(serde_json::Value::as_str).map(|text| text.chars().take(500).collect::<String>());
        self.python = text("python").or(self.python.take());
        self.error = text("error").or(self.error.take());
    }
}

async fn run_in(job: &Job<'_>, container: &ContainerId, log: &mut Log) -> Result<Built, BuildError> {
    let engine = &job.parts.engine;
    engine.start(container.clone()).await?;
    fail_point::reached("build.container_started");
    let patience = job.parts.config.limits.build_silence;
    let mut lines = engine.logs(container.clone(), None).await?;
    let mut heard = Heard::default();
    loop {
        match tokio::time::timeout(patience, lines.next()).await {
            Err(_) => return Err(BuildError::Silent(patience.as_secs().div_ceil(60).max(1))),
            Ok(None) => break,
            Ok(Some(output)) => heard.line(&String::from_utf8_lossy(&output?.bytes), log),
        }
    }
    let exit = engine.wait(container.clone()).await?;
    if exit.code != 0 {
        let memory = job.parts.plans.of(job.app).build_memory_bytes / (1024 * 1024);
        let sentence = match heard.error {
            _ if exit.out_of_memory => {
                format!("The build needed more than its {memory} MB of memory. Install fewer or ready-made packages.")
            }
            Some(sentence) => sentence,
            None => diagnose(heard.tail.make_contiguous(), job.plan.manager),
        };
        return Err(BuildError::Rejected(sentence));
    }
    take_out(job, container, heard.python).await
}

/// Stores what the build changed.
async fn take_out(job: &Job<'_>, container: &ContainerId, python: Option<String>) -> Result<Built, BuildError> {
    let limit = job.parts.config.limits.slug_bytes;
    let store = async |path: &str| -> Result<Stored, BuildError> {
        let tar = job.parts.engine.get_archive(container.clone(), PathBuf::from(path)).await?;
        files::store(job.parts.slugs.folder()?, tar, limit).await.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => BuildError::SlugTooLarge(limit / (1024 * 1024)),
            _ => error.into(),
        })
    };
    let deps = if job.deps.is_none() { Some(store("/opt/python").await?) } else { None };
    let code = if job.plan.runs_code() { store("/app").await? } else { job.code.clone() };
    Ok(Built { code, deps, python })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(own: &[(&str, &str)]) -> Vec<(String, String)> {
        handed_on(|name| own.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn builds_get_proxies_and_indexes_and_nothing_else_of_the_server() {
        let own = [("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", "localhost"), ("SIESTA_GITHUB_CLIENT_SECRET", "s"), ("PATH", "/bin")];
        assert_eq!(of(&own), pairs(&own[..2]));
    }

    #[test]
    fn uv_is_told_of_pips_index_unless_it_has_one_of_its_own() {
        let index = ("PIP_INDEX_URL", "https://mirror.test/simple");
        assert_eq!(of(&[index]), pairs(&[index, ("UV_DEFAULT_INDEX", index.1)]));
        for own in [("UV_DEFAULT_INDEX", "https://other.test/simple"), ("UV_INDEX_URL", "https://other.test/simple")] {
            assert_eq!(of(&[index, own]), pairs(&[index, own]));
        }
    }
}
