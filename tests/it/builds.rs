//! The queue of builds over the fake engine: claims, cancels, limits, restarts.

use std::{sync::Arc, time::Duration};

use siesta::{
    builder::{BuildError, BuildSource},
    domain::{BuildStatus, Plan, Version},
    engine::{
        Engine, ImageRef,
        fake::{Call, FakeEngine, Latch, Script},
    },
    slugs,
};

use crate::{
    engine_contract::{bytes, tar_of},
    support::{
        house,
        wait::until,
        yard::{Yard, succeeded},
    },
};

const FLAGS: [&str; 4] = ["--stack-run", "siesta/run:1", "--stack-build", "siesta/build:1"];

struct Bench {
    engine: FakeEngine,
    data: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let engine = FakeEngine::new("test");
        engine.add_image("siesta/run:1");
        engine.add_image("siesta/build:1");
        Bench { engine, data: tempfile::tempdir().expect("a folder") }
    }

    async fn yard(&self) -> Yard {
        self.yard_of(Plan::free()).await
    }

    async fn yard_of(&self, plan: Plan) -> Yard {
        Yard::open(Arc::new(self.engine.clone()), "test", self.data.path(), &FLAGS, plan).await
    }

    /// What build containers do; they leave one file in the environment.
    fn builds(&self, script: Script) {
        self.engine.on("/opt/siesta/build", script.writes("/opt/python/bin/python", "x"));
    }
}

fn flask(code: &str) -> Vec<u8> {
    tar_of(&[("Procfile", b"web: gunicorn app:app\n"), ("requirements.txt", b"flask\ngunicorn\n"), ("app.py", code.as_bytes())])
}

#[tokio::test]
async fn a_build_becomes_a_release_and_a_change_of_code_needs_no_build_container() {
    let bench = Bench::new();
    bench.builds(Script::exits(0).says("\u{1e}{\"python\": \"3.11.2\"}").says("       Installed"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let (build, output) = succeeded(yard.deploy(app.id, flask("1")).await);
    for line in
        ["-----> Building on the Siesta stack", "-----> Python app detected", "       Installed", "       Procfile declares types -> web"]
    {
        assert!(output.contains(line), "{line}:\n{output}");
    }
    assert!(
        output.ends_with("-----> Launching...\n       Released v3\n       http://shop.localhost:8080/ deployed to Siesta\n"),
        "{output}"
    );
    assert!(!output.contains('\u{1e}'));
    let slug = yard.reader.slug(build.slug_id.expect("a slug")).await.expect("read").expect("the slug");
    assert_eq!(slug.runtime, "Python 3.11.2");
    let names: Vec<_> = build.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["Receive", "Detect", "Install", "Image", "Release"]);
    assert!(build.phases.iter().all(|phase| phase.finished_at.is_some()));

    bench.builds(Script::exits(1));
    let (again, output) = succeeded(yard.deploy(app.id, flask("2")).await);
    assert!(output.contains("-----> Using the dependencies of the last build: requirements.txt did not change"), "{output}");
    let next = yard.reader.slug(again.slug_id.expect("a slug")).await.expect("read").expect("the slug");
    assert_eq!((next.deps_file, next.runtime), (slug.deps_file, slug.runtime));
    assert_ne!(next.code_file, slug.code_file);
    yard.stop().await;
}

#[tokio::test]
async fn a_cleared_cache_installs_anew_once() {
    let bench = Bench::new();
    bench.builds(Script::exits(0).says("       Installed"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let (first, _) = succeeded(yard.deploy(app.id, flask("1")).await);
    assert!(yard.builder.clear_cache(&app).await.expect("cleared"));
    for (code, line) in [("2", "       Installed"), ("3", "Using the dependencies of the last build")] {
        let (_, output) = succeeded(yard.deploy(app.id, flask(code)).await);
        assert!(output.contains(line), "{line}:\n{output}");
    }
    let old = yard.reader.slug(first.slug_id.expect("a slug")).await.expect("read").expect("the slug");
    let newest = yard.reader.builds(app.id, 1).await.expect("read").remove(0);
    let new = yard.reader.slug(newest.slug_id.expect("a slug")).await.expect("read").expect("the slug");
    assert_ne!(old.deps_key, new.deps_key, "an image of what was installed before is not taken for it");
    yard.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_one_sentence_at_the_end_of_the_log() {
    let bench = Bench::new();
    bench.builds(Script::exits(1).says("  Because nope-x was not found in the package registry and you require"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let cases: [(Vec<u8>, &str); 4] = [
        (b"hello".to_vec(), "The upload is not a tar or tar.gz archive."),
        (tar_of(&[("README", b"x")]), "No Python app was found in the root of the source."),
        (tar_of(&[("requirements.txt", b""), ("Procfile", b"web gunicorn")]), "Procfile, line 1: `web gunicorn` is not"),
        (tar_of(&[("requirements.txt", b"nope-x")]), "requirements.txt asks for the package `nope-x`, which does not exist."),
    ];
    for (archive, sentence) in cases {
        let (build, output) = yard.deploy(app.id, archive).await;
        assert_eq!(build.status, BuildStatus::Failed);
        let error = build.error.expect("a sentence");
        assert!(error.starts_with(sentence), "{error}");
        let closing = format!(" !     {error}\n !\n !     Push rejected, failed to compile Python app.\n !\n !     Push failed\n");
        assert!(output.ends_with(&closing), "{output}");
    }
    let (containers, releases) = (bench.engine.list().await.expect("a list"), yard.reader.app(app.id).await.expect("read"));
    assert!(containers.is_empty());
    assert_eq!(releases.and_then(|app| app.released_at), app.released_at);
    yard.stop().await;
}

#[tokio::test]
async fn a_cancel_ends_what_runs_and_what_waits() {
    let bench = Bench::new();
    bench.builds(Script::default().says("-----> working"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let first = yard.enqueue(app.id, flask("1")).await;
    yard.says(first, "working").await;
    let second = yard.enqueue(app.id, flask("2")).await;
    assert_eq!(yard.builder.cancel(second, &yard.by).await.expect("cancelled").status, BuildStatus::Cancelled);
    assert_eq!(yard.builder.cancel(first, &yard.by).await.expect("cancelled").status, BuildStatus::Cancelled);
    let (_, output) = yard.finished(first).await;
    assert!(output.ends_with(" !     The build was cancelled.\n"), "{output}");
    assert!(bench.engine.list().await.expect("a list").is_empty(), "its container is gone");
    assert_eq!(yard.builder.cancel(first, &yard.by).await.expect("unchanged").status, BuildStatus::Cancelled);
    yard.stop().await;
}

#[tokio::test]
async fn a_build_over_its_time_is_stopped() {
    let bench = Bench::new();
    bench.builds(Script::default());
    let yard = bench.yard_of(Plan { build_timeout: Duration::from_millis(300), ..Plan::free() }).await;
    let app = yard.app("shop").await;
    let (build, _) = yard.deploy(app.id, flask("1")).await;
    assert_eq!(build.error.as_deref(), Some("The build took longer than 1 minutes and was stopped."));
    assert!(bench.engine.list().await.expect("a list").is_empty());
    yard.stop().await;
}

#[tokio::test]
async fn a_build_that_says_nothing_for_too_long_is_stopped() {
    let bench = Bench::new();
    bench.builds(Script::default().says("-----> working"));
    let mut config = house::config(bench.data.path(), &FLAGS);
    config.limits.build_silence = Duration::from_millis(300);
    let yard = Yard::over(Arc::new(bench.engine.clone()), "test", config, Plan::free()).await;
    let app = yard.app("shop").await;
    let (build, output) = yard.deploy(app.id, flask("1")).await;
    assert_eq!(build.error.as_deref(), Some("The build printed nothing for 1 minutes and was stopped."));
    assert!(output.contains("-----> working"), "{output}");
    assert!(bench.engine.list().await.expect("a list").is_empty());
    yard.stop().await;
}

#[tokio::test]
async fn requirements_in_utf_16_are_named_as_what_they_are() {
    let bench = Bench::new();
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("flask\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let (build, _) = yard.deploy(app.id, tar_of(&[("requirements.txt", &utf16), ("Procfile", b"web: x")])).await;
    let error = build.error.unwrap_or_default();
    assert!(error.starts_with("requirements.txt is stored as UTF-16"), "{error}");
    yard.stop().await;
}

#[tokio::test]
async fn builds_of_one_app_come_one_after_the_other() {
    let bench = Bench::new();
    let latch = Latch::new();
    bench.builds(Script::default().says("-----> working").exits_when(&latch, 0));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let first = yard.enqueue(app.id, flask("1")).await;
    let second = yard.enqueue(app.id, flask("1")).await;
    yard.says(first, "working").await;
    assert_eq!(yard.reader.build(second).await.expect("read").expect("a build").status, BuildStatus::Queued);
    latch.open();
    succeeded(yard.finished(first).await);
    let (second, output) = succeeded(yard.finished(second).await);
    assert!(output.contains("       Released v4\n"), "{output}");
    assert!(second.started_at > Some(second.created_at));
    yard.stop().await;
}

#[tokio::test]
async fn a_build_cut_off_by_a_restart_is_built_once_more() {
    let bench = Bench::new();
    bench.builds(Script::default().says("-----> working"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let build = yard.enqueue(app.id, flask("1")).await;
    yard.says(build, "working").await;
    yard.stop().await;
    assert_eq!(bench.engine.list().await.expect("a list").len(), 1, "an orphan is left");

    bench.builds(Script::exits(0));
    let created = bench.engine.calls(Call::Create);
    let yard = bench.yard().await;
    let (_, output) = succeeded(yard.finished(build).await);
    assert!(output.contains("The server was restarted in the middle of this build."), "{output}");
    assert!(output.contains("       Released v3\n"), "{output}");
    assert!(bench.engine.calls(Call::Create) > created);
    let kinds: Vec<_> = bench.engine.list().await.expect("a list").iter().map(|it| it.labels["siesta.kind"].clone()).collect();
    assert_eq!(kinds, ["dyno"], "no orphan is left");
    yard.stop().await;
}

#[tokio::test]
async fn values_of_config_vars_are_masked_and_reach_the_build() {
    let bench = Bench::new();
    bench.builds(Script::exits(0).says("token is canary-123456 indeed"));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let changes = [("TOKEN", "canary-123456"), ("LD_PRELOAD", "/app/x.so")];
    let changes = changes.map(|(key, value)| (key.parse().expect("a key"), Some(value.to_owned().into()))).into();
    yard.releases.set_config(app.id, changes, &yard.by).await.expect("set");
    let (_, output) = succeeded(yard.deploy(app.id, flask("1")).await);
    assert!(output.contains("token is [masked] indeed"), "{output}");
    assert!(output.contains("The build does not see LD_PRELOAD"), "{output}");
    yard.stop().await;
}

#[tokio::test]
async fn a_manifest_sets_config_vars_at_the_first_deploy_only() {
    let bench = Bench::new();
    bench.builds(Script::exits(0));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let source = |title: &str| {
        let manifest = format!(r#"{{"env": {{"TITLE": "{title}", "SECRET": {{"generator": "secret"}}, "KEY": {{"required": true}}}}}}"#);
        tar_of(&[("requirements.txt", b""), ("Procfile", b"web: x"), ("app.json", manifest.as_bytes())])
    };
    let (_, output) = succeeded(yard.deploy(app.id, source("one")).await);
    assert!(output.contains("-----> Setting config vars of app.json: SECRET, TITLE"), "{output}");
    assert!(output.contains(" !     app.json asks for the config var KEY."), "{output}");
    let first = yard.releases.config(app.id).await.expect("config").to_json();
    succeeded(yard.deploy(app.id, source("two")).await);
    let second = yard.releases.config(app.id).await.expect("config").to_json();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&first), secrecy::ExposeSecret::expose_secret(&second));
    yard.stop().await;
}

#[tokio::test]
async fn a_source_is_taken_once_and_only_by_its_owner() {
    let bench = Bench::new();
    let yard = bench.yard().await;
    let (app, other) = (yard.app("shop").await, yard.app("other").await);
    let source = yard.builder.create_source(Some(app.id), &yard.by).await.expect("a source");
    let stored = || BuildSource::Stored { source: source.id, version: None };
    assert!(matches!(yard.builder.enqueue(app.id, stored(), &yard.by).await, Err(BuildError::NotUploaded)));
    let broken = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
    yard.builder.receive(&source.put_token, Box::pin(broken)).await.expect_err("a broken upload");
    yard.builder.receive(&source.put_token, bytes(b"x".to_vec())).await.expect("again");
    assert!(matches!(yard.builder.receive(&source.put_token, bytes(b"y".to_vec())).await, Err(BuildError::AlreadyUploaded)));
    assert!(matches!(yard.builder.receive(&source.get_token, bytes(b"y".to_vec())).await, Err(BuildError::NoSuchSource)));
    assert!(matches!(yard.builder.enqueue(other.id, stored(), &yard.by).await, Err(BuildError::NoSuchSource)));
    yard.stop().await;
}

#[tokio::test]
async fn a_build_knows_the_operators_authorities_and_the_mirror_of_pythons() {
    let bench = Bench::new();
    let latch = Latch::new();
    bench.builds(Script::exits(0).exits_when(&latch, 0).says("       Installing"));
    let authorities = bench.data.path().join("ca.pem");
    std::fs::write(&authorities, "-----BEGIN CERTIFICATE-----\n").expect("a file");
    let own = ["--python-mirror", "https://mirror.test/python", "--build-ca", authorities.to_str().expect("a path")];
    let flags: Vec<&str> = FLAGS.into_iter().chain(own).collect();
    let yard = Yard::open(Arc::new(bench.engine.clone()), "test", bench.data.path(), &flags, Plan::free()).await;
    let app = yard.app("shop").await;
    let build = yard.enqueue(app.id, flask("1")).await;
    yard.says(build, "Installing").await;

    let (_, spec) = bench.engine.running().pop().expect("the build's container");
    let plan = spec.env.iter().find(|(name, _)| name == "SIESTA_PLAN").map(|(_, plan)| plan).expect("a plan");
    let plan: serde_json::Value = serde_json::from_str(plan).expect("JSON");
    assert_eq!(plan["python_mirror"], "https://mirror.test/python");
    for name in ["SSL_CERT_FILE", "PIP_CERT", "GIT_SSL_CAINFO"] {
        assert_eq!(plan["env"][name], "/opt/siesta/ca.pem", "{name}");
    }
    assert!(plan["env"].get("HTTPS_PROXY").is_none(), "handed on only when the operator says so");
    latch.open();
    succeeded(yard.finished(build).await);
    yard.stop().await;
}

#[tokio::test]
async fn a_stack_goes_with_the_last_release_that_stands_on_it() {
    let bench = Bench::new();
    bench.engine.add_image("siesta/run:2");
    bench.builds(Script::exits(0));
    let copies: Vec<_> = ["run-1", "run-2"].iter().map(|name| bench.data.path().join("stack").join(format!("{name}.tar.zst"))).collect();
    std::fs::create_dir_all(bench.data.path().join("stack")).expect("a folder");
    copies.iter().for_each(|copy| std::fs::write(copy, "x").expect("a copy"));
    let is_there = async |recipe: &str| bench.engine.has_image(ImageRef(format!("siesta/run:{recipe}"))).await.expect("an answer");

    let yard = bench.yard().await;
    let (shop, other) = (yard.app("shop").await, yard.app("other").await);
    for app in [&shop, &other] {
        succeeded(yard.deploy(app.id, flask("0")).await);
    }
    yard.stop().await;

    let newer = ["--stack-run", "siesta/run:2", "--stack-build", "siesta/build:1"];
    let yard = Yard::open(Arc::new(bench.engine.clone()), "test", bench.data.path(), &newer, Plan::free()).await;
    for code in ["1", "2", "3", "4", "5", "6"] {
        succeeded(yard.deploy(shop.id, flask(code)).await);
    }
    assert!(is_there("1").await && copies[0].exists(), "the other app still stands on it");
    yard.builder.forget(&other).await.expect("gone");
    assert!(!is_there("1").await && !copies[0].exists(), "nobody does");
    assert!(is_there("2").await && copies[1].exists());
    yard.builder.forget(&shop).await.expect("gone");
    assert!(is_there("2").await && copies[1].exists(), "the next build will");
    yard.stop().await;
}

#[tokio::test]
async fn the_code_of_the_last_five_releases_is_kept_and_an_older_one_is_no_way_back() {
    let bench = Bench::new();
    bench.builds(Script::exits(0));
    let yard = bench.yard().await;
    let app = yard.app("shop").await;
    let mut slugs = Vec::new();
    for code in ["1", "2", "3", "4", "5", "6", "7"] {
        let (build, _) = succeeded(yard.deploy(app.id, flask(code)).await);
        slugs.push(yard.reader.slug(build.slug_id.expect("a slug")).await.expect("read").expect("the slug"));
    }
    // What is old goes when the build has ended.
    until("the end of the old code", async || !yard.slugs.has_file(&slugs[1].code_file)).await;
    let kept: Vec<bool> = slugs.iter().map(|slug| yard.slugs.has_file(&slug.code_file)).collect();
    assert_eq!(kept, [false, false, true, true, true, true, true]);
    let images: Vec<bool> = slugs.iter().map(|slug| bench.engine.images().contains(&slugs::app_image(slug.id).0)).collect();
    assert_eq!(images, kept);
    let returnable: std::collections::BTreeSet<_> = slugs[2..].iter().map(|slug| slug.id).collect();
    assert_eq!(yard.releases.kept_slugs(app.id).await.expect("read"), returnable);
    let release = async |version| yard.reader.release_by_version(app.id, Version(version)).await.expect("read").expect("a release").id;
    let refused = yard.releases.rollback(app.id, release(4).await, &yard.by).await.expect_err("its code is gone");
    assert_eq!(refused.to_string(), "The code of v4 is not kept any more: that of the newest releases is. Deploy it again.");
    let back = yard.releases.rollback(app.id, release(5).await, &yard.by).await.expect("its code is there");
    assert_eq!(back.slug_id, Some(slugs[2].id));
    yard.stop().await;
}
