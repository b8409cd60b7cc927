//! One build from its source to its release, phase by phase.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    builder::{
        BuildError, BuilderParts,
        archive::{self, ArchiveError, ArchiveLimits, Repacked},
        container::{self, Built, Job},
        detect::{self, BuildPlan},
        git,
        manifest::{self, EnvVar, Manifest},
        output::Log,
    },
    domain::{
        ConfigKey, ConfigVars, ProcessType, ReleaseId, ReleaseStatus, SlugId, app::App, build::Build, build::Phase, release::Release,
        slug::Slug, user::Actor,
    },
    engine::spec::AppUid,
    fail_point, secrets,
    slugs::files::Stored,
    store::builds::Claimed,
};

/// Lines of a command on their way into the build's output.
const LINES: usize = 256;
/// Warned about beyond this size (heroku.md 6.2).
const SOFT_SLUG_BYTES: u64 = 300 * 1024 * 1024;

/// One build under way.
pub struct Run {
    pub parts: Arc<BuilderParts>,
    pub app: App,
    pub build: Build,
    pub claimed: Claimed,
    pub log: Log,
    pub phases: Vec<Phase>,
    pub cancelled: CancellationToken,
    /// Of a first deploy: what is left to do once it runs.
    pub manifest: Option<Manifest>,
}

/// What a build that succeeded left.
pub struct Done {
    pub slug: SlugId,
    pub release: ReleaseId,
}

impl Run {
    /// Everything, with the limits of time and the cancel; a release once begun is not cut off.
    pub async fn all(&mut self) -> Result<Done, BuildError> {
        let patience = self.parts.plans.of(&self.app).build_timeout;
        let cancelled = self.cancelled.clone();
        let made = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(BuildError::Cancelled),
            made = tokio::time::timeout(patience, self.make()) => {
                made.unwrap_or_else(|_| Err(BuildError::TimedOut(patience.as_secs().div_ceil(60).max(1))))
            }
        };
        let slug = made?;
        self.release(slug).await
    }

    async fn begin(&mut self, name: &str) -> Result<(), BuildError> {
        let now = self.parts.clock.now();
        self.end_phase();
        self.phases.push(Phase::begun(name, now));
        Ok(self.parts.writer.set_build_phases(self.build.id, &self.phases).await?)
    }

    /// Ends the phase that runs.
    pub fn end_phase(&mut self) {
        let now = self.parts.clock.now().millis();
        if let Some(phase) = self.phases.last_mut() {
            phase.finished_at.get_or_insert(now);
        }
    }

    async fn make(&mut self) -> Result<Slug, BuildError> {
        self.begin("Receive").await?;
        self.log.step("Building on the Siesta stack");
        let source = self.receive().await?;
        self.begin("Detect").await?;
        let config = self.config(&source).await?;
        self.log.mask(config.iter().map(|(_, value)| value.expose_secret()));
        let plan = self.detect(&source, &config)?;
        self.begin("Install").await?;
        let slug = self.install(&plan, source, &config).await?;
        fail_point::reached("build.files_stored");
        self.begin("Image").await?;
        self.log.step("Compressing...");
        self.log.detail(&format!("Done: {}", megabytes(slug.size)));
        if slug.size > self.parts.config.limits.slug_bytes {
            return Err(BuildError::SlugTooLarge(self.parts.config.limits.slug_bytes / (1024 * 1024)));
        }
        if slug.size > SOFT_SLUG_BYTES {
            let size = slug.size / (1024 * 1024);
            self.log.warning(&format!("Warning: Your slug size ({size} MB) exceeds our soft limit (300 MB) which may affect boot time."));
        }
        self.parts.slugs.ensure_image(&slug, self.app.number).await?;
        Ok(slug)
    }

    /// The source, judged and written anew.
    async fn receive(&mut self) -> Result<Repacked, BuildError> {
        if let Some(git) = self.parts.reader.git_build(self.build.id).await? {
            let fetched = self.fetch(&git).await?;
            let source = self.repack(fetched.archive.clone()).await?;
            return match source.tree.lfs_pointers.first() {
                Some(path) => Err(BuildError::Rejected(git::lfs_refusal(path))),
                None => Ok(source),
            };
        }
        let source = self.claimed.source_id.ok_or(BuildError::NoSuchSource)?;
        self.repack(upload_path(&self.parts, &source.to_string())).await
    }

    async fn repack(&self, upload: PathBuf) -> Result<Repacked, BuildError> {
        let files = self.parts.slugs.folder()?;
        let limits = self.archive_limits();
        let AppUid(owner) = AppUid::of(self.app.number);
        let repacked =
            tokio::task::spawn_blocking(move || archive::repack(&upload, &files, owner, limits)).await.map_err(std::io::Error::other)?;
        repacked.map_err(|error| match error {
            ArchiveError::Io(error) => BuildError::Io(error),
            refused => BuildError::Rejected(refused.to_string()),
        })
    }

    pub(super) fn archive_limits(&self) -> ArchiveLimits {
        let limits = &self.parts.config.limits;
        ArchiveLimits { unpacked_bytes: limits.unpacked_bytes, entries: limits.archive_entries }
    }

    /// The app's config vars; before the first release of code those of its manifest are added.
    async fn config(&mut self, source: &Repacked) -> Result<ConfigVars, BuildError> {
        let config = self.parts.releases.config(self.app.id).await?;
        if !self.parts.reader.slugs_of(self.app.id, 0).await?.is_empty() {
            return Ok(config);
        }
        let manifest = manifest::of(&source.tree).map_err(|rejection| BuildError::Rejected(rejection.0))?;
        let Some(manifest) = manifest else { return Ok(config) };
        let manifest = self.manifest.insert(manifest);
        let mut changes = BTreeMap::new();
        for (key, var) in manifest.env.iter().filter(|(key, _)| config.get(key.as_str()).is_none()) {
            match var {
                EnvVar::Value(value) => _ = changes.insert(key.clone(), Some(SecretString::from(value.clone()))),
                EnvVar::Secret => _ = changes.insert(key.clone(), Some(secrets::random_token())),
                EnvVar::Missing { required: true } => {
                    self.log.warning(&format!("{} asks for the config var {key}. Set it in the app's settings.", manifest.file));
                }
                EnvVar::Missing { required: false } => {}
            }
        }
        if changes.is_empty() {
            return Ok(config);
        }
        let names: Vec<&str> = changes.keys().map(ConfigKey::as_str).collect();
        self.log.step(&format!("Setting config vars of {}: {}", manifest.file, names.join(", ")));
        self.parts.releases.set_config(self.app.id, changes, &actor(&self.build)?).await?;
        Ok(self.parts.releases.config(self.app.id).await?)
    }

    fn detect(&mut self, source: &Repacked, config: &ConfigVars) -> Result<BuildPlan, BuildError> {
        self.log.step("Determining which buildpack to use for this app");
        let off = config.get("DISABLE_COLLECTSTATIC").is_some_and(|value| !matches!(value.expose_secret(), "" | "0"));
        let plan = detect::detect(&source.tree, !off).map_err(|rejection| BuildError::Rejected(rejection.0))?;
        self.log.step("Python app detected");
        match &plan.python {
            Some(wanted) => self.log.step(&format!("Using Python {} specified in {}", wanted.version, wanted.file)),
            None => self.log.step("No Python version was specified. Using the stack's own, Python 3.11"),
        }
        for paragraph in &plan.warnings {
            paragraph.iter().for_each(|line| self.log.warning(line));
        }
        let refused: Vec<&str> = config.iter().map(|(key, _)| key.as_str()).filter(|key| key.starts_with("LD_")).collect();
        if !refused.is_empty() {
            self.log.warning(&format!("The build does not see {}: variables named LD_* are for dynos only.", refused.join(", ")));
        }
        Ok(plan)
    }

    /// Dependencies from an earlier build where they fit, from a build container where not.
    async fn install(&mut self, plan: &BuildPlan, source: Repacked, config: &ConfigVars) -> Result<Slug, BuildError> {
        let stack = self.parts.config.options.stack_run.clone();
        let extra = config.get("PIP_EXTRA_INDEX_URL").map_or("", |value| value.expose_secret());
        let app = self.app.id.to_string();
        let cleared = self.parts.reader.build_cache_cleared(self.app.id).await?.map(|at| at.millis().to_string());
        let salt: Vec<&str> = [app.as_str(), stack.as_str(), extra].into_iter().chain(cleared.as_deref()).collect();
        let key = plan.deps_key(&salt, &source.sha256);
        let known = self.parts.reader.slug_with_deps(self.app.id, &key).await?;
        let known = known.filter(|slug| slug.deps_file.as_deref().is_some_and(|file| self.parts.slugs.has_file(file)));
        let label = self.build.source_version.clone().unwrap_or_else(|| source.sha256.clone());
        let code = Stored { sha256: source.sha256, size: source.size };
        let reused = known.as_ref().and_then(|slug| slug.deps_file.clone());
        if reused.is_some() {
            self.log.step(&format!("Using the dependencies of the last build: {} did not change", plan.manager.file()));
        }
        let built = if reused.is_some() && !plan.runs_code() {
            Built { code, deps: None, python: None }
        } else {
            let job = Job { parts: &self.parts, app: &self.app, build: self.build.id, plan, config, code, deps: reused.clone() };
            container::run(&job, &mut self.log).await?
        };
        self.log.step("Discovering process types");
        let types: Vec<&str> = plan.procfile.iter().map(|(process_type, _)| process_type.as_str()).collect();
        let types = if types.is_empty() { "(none)".to_owned() } else { types.join(", ") };
        self.log.detail(&format!("Procfile declares types -> {types}"));
        let deps_size = match (&built.deps, &reused) {
            (Some(deps), _) => deps.size,
            (None, Some(file)) => std::fs::metadata(self.parts.slugs.folder()?.join(file))?.len(),
            (None, None) => 0,
        };
        Ok(Slug {
            // One slug a build, under one id: a build tried again after a crash cannot release twice.
            id: SlugId(self.build.id.0),
            app_id: self.app.id,
            commit: Some(label),
            size: built.code.size + deps_size,
            code_file: built.code.sha256,
            deps_file: built.deps.map(|deps| deps.sha256).or(reused),
            deps_key: key,
            stack,
            language: "Python".to_owned(),
            runtime: match (built.python, known) {
                (Some(version), _) => format!("Python {version}"),
                (None, Some(slug)) => slug.runtime,
                (None, None) => "Python".to_owned(),
            },
            process_types: plan.procfile.clone(),
            created_at: self.parts.clock.now(),
        })
    }

    async fn release(&mut self, slug: Slug) -> Result<Done, BuildError> {
        self.begin("Release").await?;
        self.log.step("Launching...");
        let by = actor(&self.build)?;
        let (slug_id, label) = (slug.id, slug.commit.clone().unwrap_or_default());
        if slug.process_types.command(&ProcessType::release()).is_some() {
            self.log.warning("Release command declared: this new release will not be available until the command succeeds.");
            self.log.step("Running release command...");
        }
        let (lines, heard) = mpsc::channel(LINES);
        let (releases, app) = (self.parts.releases.clone(), self.app.id);
        let release = self.printing(heard, releases.deploy_telling(app, (slug, &label), &by, Some(lines))).await?;
        if release.status == ReleaseStatus::Failed {
            return Err(BuildError::Overtaken(release.version));
        }
        self.set_up(&release, &by).await?;
        self.log.detail(&format!("Released {}", release.version));
        let url = self.parts.config.web_url(self.app.name.as_str());
        self.log.detail(&format!("{url} deployed to Siesta"));
        self.end_phase();
        Ok(Done { slug: slug_id, release: release.id })
    }
}

impl Run {
    /// Does `work` while what it prints goes into the build's output.
    async fn printing<T>(&mut self, mut heard: mpsc::Receiver<String>, work: impl Future<Output = T>) -> T {
        let print = async {
            while let Some(line) = heard.recv().await {
                self.log.detail(&line);
            }
        };
        tokio::join!(work, print).0
    }

    /// After the first deploy: the counts and the command the app's manifest asks for. What cannot
    /// be done is said; the release stays.
    async fn set_up(&mut self, release: &Release, by: &Actor) -> Result<(), BuildError> {
        let Some(manifest) = self.manifest.take() else { return Ok(()) };
        let releases = self.parts.releases.clone();
        for (process_type, count) in manifest.formation.iter().filter(|(name, count)| !(name.is_web() && **count == 1)) {
            match releases.scale(self.app.id, process_type.clone(), *count, by).await {
                Ok(()) => self.log.step(&format!("Scaling {process_type} to {count} as {} asks", manifest.file)),
                Err(error) => self.log.warning(&format!("{} asks for {process_type}={count}. {error}", manifest.file)),
            }
        }
        let Some(command) = manifest.postdeploy else { return Ok(()) };
        self.log.step(&format!("Running the postdeploy command of {}: {command}", manifest.file));
        let (lines, heard) = mpsc::channel(LINES);
        if let Err(error) = self.printing(heard, releases.postdeploy(release, &command, by, lines)).await {
            self.log.warning(&error.to_string());
        }
        Ok(())
    }
}

/// Who asked for a build.
fn actor(build: &Build) -> Result<Actor, BuildError> {
    let id = build.user_id.ok_or(BuildError::NoSuchBuild)?;
    let email = build.user_email.parse().map_err(BuildError::Rejected)?;
    Ok(Actor { id, email })
}

/// Where an upload lies.
pub fn upload_path(parts: &BuilderParts, source: &str) -> PathBuf {
    parts.root.join("uploads").join(source)
}

/// `36.3M`, as Heroku prints sizes.
fn megabytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1024 * 1024);
    format!("{}.{}M", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_like_heroku_s() {
        assert_eq!(megabytes(0), "0.0M");
        assert_eq!(megabytes(1), "0.1M");
        assert_eq!(megabytes(36 * 1024 * 1024 + 300 * 1024), "36.3M");
    }
}
