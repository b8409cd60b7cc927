//! Builds on real Docker, with the stack images `script/test` names in `SIESTA_STACK_RUN` and
//! `SIESTA_STACK_BUILD`.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc};

use futures_util::{FutureExt, TryStreamExt};
use siesta::{
    config::{Config, Limits},
    domain::{BuildStatus, Plan},
    engine::{Engine, ImageRef, docker::Docker, spec::NetworkRange},
    slugs::{self, SlugError, Slugs},
};

use super::tiny::{socket, tiny_copy};
use crate::{
    engine_contract::tar_of,
    support::{
        house::config,
        yard::{Yard, succeeded},
    },
};

/// Runs a test over real Docker and removes what it made, even when it fails.
pub(super) async fn with_yard(plan: Plan, test: impl AsyncFnOnce(&Yard, &Docker)) {
    with_limits(plan, |_| {}, test).await;
}

/// The same under other limits than the usual ones.
pub(super) async fn with_limits(plan: Plan, change: impl FnOnce(&mut Limits), test: impl AsyncFnOnce(&Yard, &Docker)) {
    with_config(plan, |config| change(&mut config.limits), test).await;
}

/// The same with other settings than the usual ones.
pub(super) async fn with_config(plan: Plan, change: impl FnOnce(&mut Config), test: impl AsyncFnOnce(&Yard, &Docker)) {
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(Path::new(&socket()), &instance).expect("a Docker socket"));
    let range = format!("10.{}.{}.0/24", 230 + rand::random::<u8>() % 16, rand::random::<u8>());
    range.parse::<NetworkRange>().expect("a range");
    let data = tempfile::tempdir().expect("a folder");
    let stack = |name: &str| std::env::var(name).expect("script/test names the stack images");
    let (run, build) = (stack("SIESTA_STACK_RUN"), stack("SIESTA_STACK_BUILD"));
    let flags = ["--network-range", &range, "--stack-run", &run, "--stack-build", &build];
    let mut config = config(data.path(), &flags);
    change(&mut config);
    let yard = Yard::over(engine.clone(), &instance, config, plan).await;
    let outcome = AssertUnwindSafe(test(&yard, &engine)).catch_unwind().await;
    let apps = yard.reader.apps().await.expect("apps");
    for app in apps {
        yard.apps.destroy(app.id, &yard.by).await.expect("destroyed");
    }
    yard.stop().await;
    assert!(engine.list().await.expect("a list").is_empty(), "nothing is left");
    assert_eq!(engine.list_images().await.expect("a list"), [], "nothing is left");
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A source folder as an archive with one top folder.
fn example(name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("source", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).expect("an example");
    tar.into_inner().expect("a tar")
}

/// A program that answers with a word.
fn program(word: &str) -> String {
    format!(
        "import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'{word} ' + os.environ.get('WHO', '').encode())\nhttp.server.HTTPServer(('', int(os.environ['PORT'])), H).serve_forever()\n"
    )
}

/// The same without dependencies, as an archive.
fn plain(word: &str) -> Vec<u8> {
    tar_of(&[("Procfile", b"web: python app.py\n"), ("requirements.txt", b""), ("app.py", program(word).as_bytes())])
}

async fn builds_and_answers(folder: &str, runtime: &str) {
    with_yard(Plan::free(), async |yard, _| {
        let app = yard.app("example").await;
        let (build, output) = succeeded(yard.deploy(app.id, example(folder)).await);
        assert!(output.contains("deployed to Siesta"), "{output}");
        let slug = yard.reader.slug(build.slug_id.expect("a slug")).await.expect("read").expect("the slug");
        assert!(slug.runtime.starts_with(runtime), "{}", slug.runtime);
        if slug.process_types.iter().any(|(process_type, _)| process_type.is_web()) {
            assert!(!yard.answer("example", "/").await.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn the_shop_builds_and_answers() {
    builds_and_answers("tienda-videojuegos", "Python 3.11").await;
}

#[tokio::test]
async fn a_poetry_app_builds_and_answers() {
    builds_and_answers("flask-poetry", "Python 3.11").await;
}

#[tokio::test]
async fn a_uv_app_builds_and_answers() {
    builds_and_answers("flask-uv", "Python 3.11").await;
}

#[tokio::test]
async fn a_django_app_collects_its_static_files() {
    with_yard(Plan::free(), async |yard, _| {
        let app = yard.app("example").await;
        let (_, output) = succeeded(yard.deploy(app.id, example("django-notas")).await);
        assert!(output.contains("-----> $ python manage.py collectstatic --noinput"), "{output}");
        let (_, output) = succeeded(yard.deploy(app.id, example("django-notas")).await);
        assert!(output.contains("did not change") && output.contains("collectstatic"), "{output}");
    })
    .await;
}

#[tokio::test]
async fn a_websocket_app_and_a_worker_build() {
    builds_and_answers("fastapi-websocket", "Python 3.11").await;
    builds_and_answers("worker-only", "Python 3.11").await;
}

#[tokio::test]
async fn the_broken_example_says_in_one_sentence_why() {
    with_yard(Plan::free(), async |yard, _| {
        let app = yard.app("example").await;
        let (build, _) = yard.deploy(app.id, example("broken-on-purpose")).await;
        let sentence = "The Procfile starts `web` with gunicorn, but requirements.txt does not list it. Add gunicorn to requirements.txt.";
        assert_eq!(build.error.as_deref(), Some(sentence));
    })
    .await;
}

#[tokio::test]
async fn a_package_that_does_not_exist_is_one_sentence() {
    with_yard(Plan::free(), async |yard, _| {
        let app = yard.app("example").await;
        let (build, output) = yard.deploy(app.id, tar_of(&[("requirements.txt", b"siesta-no-such-package-7f3a")])).await;
        let sentence = "requirements.txt asks for the package `siesta-no-such-package-7f3a`, which does not exist.";
        assert!(build.error.as_deref().is_some_and(|error| error.starts_with(sentence)), "{:?}\n{output}", build.error);
    })
    .await;
}

#[tokio::test]
async fn code_alone_is_a_layer_and_lost_images_come_back() {
    with_yard(Plan::free(), async |yard, engine| {
        let app = yard.app("example").await;
        succeeded(yard.deploy(app.id, plain("one")).await);
        assert_eq!(yard.answer("example", "/").await, "one ");
        let (build, output) = succeeded(yard.deploy(app.id, plain("two")).await);
        assert!(output.contains("-----> Using the dependencies of the last build"), "{output}");
        assert_eq!(yard.answer("example", "/").await, "two ");

        yard.dynos.forget(&app).await.expect("stopped");
        for image in engine.list_images().await.expect("a list") {
            engine.remove_image(image).await.expect("removed");
        }
        let slug = yard.reader.slug(build.slug_id.expect("a slug")).await.expect("read").expect("the slug");
        assert!(!engine.has_image(slugs::app_image(slug.id)).await.expect("asked"));
        let image = yard.slugs.ensure_image(&slug, app.number).await.expect("made again");
        assert!(engine.has_image(image).await.expect("asked"));
    })
    .await;
}

#[tokio::test]
async fn hooks_run_with_config_vars_and_a_cancel_kills_them() {
    with_yard(Plan::free(), async |yard, engine| {
        let app = yard.app("example").await;
        let changes = [("WHO".parse().expect("a key"), Some("world".to_owned().into()))].into();
        yard.releases.set_config(app.id, changes, &yard.by).await.expect("set");
        let hook = b"#!/bin/bash\necho \"hello $WHO as $(id -u)\"\nsleep 1000\n";
        let build = yard.enqueue(app.id, tar_of(&[("requirements.txt", b""), ("bin/pre_compile", hook)])).await;
        yard.says(build, "hello world as 2").await;
        assert_eq!(yard.builder.cancel(build, &yard.by).await.expect("cancelled").status, BuildStatus::Cancelled);
        assert!(engine.list().await.expect("a list").is_empty(), "its container is gone");
    })
    .await;
}

#[tokio::test]
async fn a_stack_image_that_docker_lost_comes_back_from_its_copy() {
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(Path::new(&socket()), &instance).expect("a Docker socket"));
    let data = tempfile::tempdir().expect("a folder");
    let image = ImageRef(format!("siesta/test-stack:{instance}"));
    let chunks: Vec<bytes::Bytes> = tiny_copy(&image).try_collect().await.expect("an archive");
    let copy = data.path().join("stack").join(format!("test-stack-{instance}.tar.zst"));
    std::fs::create_dir(data.path().join("stack")).expect("a folder");
    std::fs::write(&copy, zstd::encode_all(&chunks.concat()[..], 1).expect("compressed")).expect("a copy");
    let slugs = Slugs::new(data.path().to_owned(), engine.clone(), &instance);
    for _ in 0..2 {
        slugs.ensure_stack(&image).await.expect("loaded");
        assert!(engine.has_image(image.clone()).await.expect("asked"));
        engine.remove_image(image.clone()).await.expect("removed");
        assert!(!engine.has_image(image.clone()).await.expect("asked"));
    }
    std::fs::remove_file(copy).expect("removed");
    assert!(matches!(slugs.ensure_stack(&image).await, Err(SlugError::NoStack(_))));
}

#[tokio::test]
async fn a_promoted_slug_belongs_to_the_app_that_runs_it() {
    with_yard(Plan::free(), async |yard, _| {
        let (from, to) = (yard.app("desde").await, yard.app("hasta").await);
        // Starts only when it may write into its own folder.
        let start = b"web: echo mine > own.txt && echo '# mine' >> app.py && python app.py\n";
        let archive = tar_of(&[("Procfile", start), ("requirements.txt", b""), ("app.py", program("uno").as_bytes())]);
        succeeded(yard.deploy(from.id, archive).await);
        let slug = yard.reader.current_release(from.id).await.unwrap().unwrap().slug_id.expect("a slug");
        let slug = yard.reader.slug(slug).await.unwrap().unwrap();
        let copy = slug.for_app(to.id, slug.created_at);
        assert_ne!((copy.id, &copy.deps_key), (slug.id, &slug.deps_key));
        yard.releases.promote(to.id, copy, "desde v3", &yard.by).await.expect("it starts");
        assert!(yard.answer("hasta", "/").await.starts_with("uno"));
    })
    .await;
}
