//! Automatic deploys: from a delivery, or from asking, to a build of the branch's head.

use std::time::Duration;

use http::StatusCode;
use siesta::{
    domain::{
        BuildStatus,
        git::{CiState, Verdict},
    },
    github::{GitHostError, ReportState, webhook},
    logs::Filter,
};

use super::{PUSH, Scene, exposed, files};

#[tokio::test]
async fn a_push_is_deployed_and_everything_else_says_why_not() {
    let scene = Scene::set().await;
    scene.latch.open();
    let sha = scene.pushed("Add the cart").await;
    assert_eq!(scene.builds().await[0].0, sha.to_string());
    assert_eq!(scene.verdicts().await, [Verdict::Deployed]);

    let github = &scene.server.house.github;
    let tag = format!(r#"{{"ref":"refs/tags/v1","after":"{sha}","repository":{{"id":1}}}}"#);
    scene.deliver(PUSH, &tag).await;
    github.push(&scene.repo, "other", "Elsewhere", &files("2"));
    scene.deliver(PUSH, &github.push_payload(&scene.repo, "other")).await;
    scene.deliver("ping", r#"{"zen":"Keep it logically awesome."}"#).await;
    scene.deliver("star", r#"{"action":"created"}"#).await;
    scene.look().await;
    let mut verdicts = scene.verdicts().await;
    verdicts.sort_by_key(|verdict| format!("{verdict:?}"));
    assert_eq!(verdicts, [Verdict::Deployed, Verdict::Ignored, Verdict::OtherBranch, Verdict::Ping, Verdict::Tag]);
    assert_eq!(scene.builds().await.len(), 1);

    for message in ["Docs [skip ci]", "Docs [skip siesta]"] {
        scene.pushed(message).await;
    }
    assert_eq!(scene.verdicts().await.iter().filter(|verdict| **verdict == Verdict::Skipped).count(), 2);
    github.delete_branch(&scene.repo, "main");
    scene.deliver(PUSH, &github.push_payload(&scene.repo, "main")).await;
    scene.look().await;
    assert!(scene.verdicts().await.contains(&Verdict::BranchDeleted));
    assert_eq!(scene.builds().await.len(), 1);
    let page = scene.server.get(&scene.ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("The branch main was deleted"), "{}", page.text);
    let page = scene.server.get(&scene.ana, "/apps/tienda/github/deliveries").await;
    for words in ["Deployed", "Other branch", "A tag", "The hook works", "Skipped: the message asks for it", "Branch deleted"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    scene.stop().await;
}

#[tokio::test]
async fn nothing_without_the_right_signature_leads_to_a_build() {
    let scene = Scene::set().await;
    scene.push("Evil");
    let body = scene.server.house.github.push_payload(&scene.repo, "main");
    let (path, secret) = scene.hook();
    let good = webhook::signature(&secret, body.as_bytes()).unwrap();
    let other = webhook::signature(&"another repository's".into(), body.as_bytes()).unwrap();
    let empty = format!("sha256={}", "0".repeat(64));
    let changed = body.replace("\"deleted\":false", "\"deleted\":false ");
    assert_ne!(changed, body);
    let forged: [(Option<&str>, &str); 7] = [
        (None, &body),
        (Some(""), &body),
        (Some(&empty), &body),
        (Some(&other), &body),
        (Some(&good[..good.len() - 2]), &body),
        (Some(&good), &changed),
        (Some("sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"), &body),
    ];
    for (number, given) in forged.into_iter().enumerate() {
        let answer = scene.send(&path, &format!("aaaa-{number}"), PUSH, given).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{given:?}");
    }
    let nowhere = format!("/github/webhook/{}", "x".repeat(43));
    assert_eq!(scene.send(&nowhere, "bbbb-1", PUSH, (Some(&good), &body)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.send("/github/webhook", "bbbb-2", PUSH, (Some(&good), &body)).await.status, StatusCode::UNAUTHORIZED);
    for guid in ["", "../../x", &"a".repeat(65)] {
        assert_eq!(scene.send(&path, guid, PUSH, (Some(&good), &body)).await.status, StatusCode::BAD_REQUEST, "{guid}");
    }
    let broken = "{";
    let signed = webhook::signature(&secret, broken.as_bytes()).unwrap();
    assert_eq!(scene.send(&path, "cccc-1", PUSH, (Some(&signed), broken)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.verdicts().await, [Verdict::BadSignature], "one row a minute, whatever comes");
    scene.look().await;
    assert!(scene.builds().await.is_empty());
    let page = scene.server.get(&scene.ana, "/apps/tienda/github/deliveries").await;
    assert!(page.text.contains("Bad signature") && page.text.contains("×7"), "{}", page.text);
    assert!(!page.text.contains(exposed(&secret)));
    let again = scene.server.post(&scene.ana, "/apps/tienda/github/redeliver", &[("guid", "forged-23833333")]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    scene.stop().await;
}

#[tokio::test]
async fn one_app_s_hook_says_nothing_for_another_s() {
    let scene = Scene::set().await;
    let eve = scene.server.person("eve@example.org").await;
    let github = scene.server.house.github.clone();
    github.person("eve", Some("eve@example.org"));
    super::connect(&scene.server, &eve, "eve").await;
    let hers = scene.server.app(&eve, "de-eve").await;
    let repo = github.repository_of("eve/repo", true, &["eve"]);
    github.push(&repo, "main", "First", &files("1"));
    let (repositories, by) = (&scene.server.house.owners.repositories, eve.actor.clone().unwrap());
    repositories.connect(hers.id, &repo, &by).await.unwrap();
    let hook = github.hooks(&repo).pop().unwrap();
    scene.push("Not eve's to deploy");
    let body = github.push_payload(&scene.repo, "main");
    let signature = webhook::signature(&hook.secret, body.as_bytes()).unwrap();
    let (path, _) = scene.hook();
    assert_eq!(scene.send(&path, "0e-1", PUSH, (Some(&signature), &body)).await.status, StatusCode::UNAUTHORIZED);
    let own = hook.url.strip_prefix("http://localhost:8080").unwrap();
    assert_eq!(scene.send(own, "0e-2", PUSH, (Some(&signature), &body)).await.status, StatusCode::ACCEPTED, "her own hook is hers");
    scene.look().await;
    assert!(scene.builds().await.is_empty() && scene.verdicts().await == [Verdict::BadSignature], "{:?}", scene.verdicts().await);
    let theirs = "/apps/tienda/github";
    for (path, fields) in [("deploy", [("branch", "main")]), ("redeliver", [("guid", "0e-1")]), ("connect", [("repository", "eve/repo")])] {
        assert_eq!(scene.server.post(&eve, &format!("{theirs}/{path}"), &fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(scene.server.get(&eve, &format!("{theirs}/deliveries")).await.status, StatusCode::NOT_FOUND);
    scene.stop().await;
}

#[tokio::test]
async fn the_page_of_deliveries_holds_the_last_twenty() {
    let scene = Scene::set().await;
    for number in 10..35 {
        assert_eq!(scene.deliver_as(&format!("ad-{number}"), "ping", r#"{"zen":"x"}"#).await.status, StatusCode::ACCEPTED);
        scene.server.house.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.verdicts().await.len(), 20);
    let page = scene.server.get(&scene.ana, "/apps/tienda/github/deliveries").await;
    assert_eq!(page.text.matches("The hook works").count(), 20, "{}", page.text);
    scene.stop().await;
}

#[tokio::test]
async fn a_delivery_counts_once_and_can_be_judged_again_by_hand() {
    let scene = Scene::set().await;
    scene.latch.open();
    scene.push("One");
    let body = scene.server.house.github.push_payload(&scene.repo, "main");
    for _ in 0..100 {
        assert_eq!(scene.deliver_as("d00d-1", PUSH, &body).await.status, StatusCode::ACCEPTED);
    }
    scene.look().await;
    assert_eq!((scene.verdicts().await.len(), scene.builds().await.len()), (1, 1));
    scene.deliver_as("d00d-1", PUSH, &body).await;
    scene.look().await;
    assert_eq!(scene.builds().await.len(), 1, "a replay changes nothing");
    finished(&scene).await;
    let again = scene.server.post(&scene.ana, "/apps/tienda/github/redeliver", &[("guid", "d00d-1")]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    scene.look().await;
    assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![Verdict::Deployed], 2));
    scene.stop().await;
}

/// Waits until no build of the app waits or runs.
async fn finished(scene: &Scene) {
    let mut changes = scene.server.house.owners.builder.changes();
    while scene.builds().await.iter().any(|(_, status)| !status.is_finished()) {
        changes.changed().await.unwrap();
    }
}

/// Waits until the newest build but `waiting` runs.
async fn running(scene: &Scene) {
    let mut changes = scene.server.house.owners.builder.changes();
    while !scene.builds().await.iter().any(|(_, status)| *status == BuildStatus::Running) {
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_push_replaces_the_one_that_waits_and_the_last_head_is_built() {
    let scene = Scene::set().await;
    let first = scene.pushed("One").await;
    running(&scene).await;
    scene.pushed("Two").await;
    scene.pushed("Three").await;
    let last = scene.pushed("Four").await;
    let builds = scene.builds().await;
    let unfinished: Vec<_> = builds.iter().filter(|(_, status)| !status.is_finished()).cloned().collect();
    assert_eq!(unfinished, [(last.to_string(), BuildStatus::Queued), (first.to_string(), BuildStatus::Running)]);
    let verdicts = scene.verdicts().await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Superseded).count(), 2, "{verdicts:?}");
    scene.latch.open();
    finished(&scene).await;
    assert_eq!(scene.builds().await[0].0, last.to_string());
    scene.stop().await;
}

#[tokio::test]
async fn who_wishes_it_has_a_running_build_stopped_by_a_newer_push() {
    let scene = Scene::following(|wish| siesta::repositories::Wish { supersede: true, ..wish }).await;
    let first = scene.pushed("One").await;
    running(&scene).await;
    let second = scene.pushed("Two").await;
    let builds = scene.builds().await;
    assert!(builds.contains(&(first.to_string(), BuildStatus::Cancelled)), "{builds:?}");
    assert_eq!(builds[0].0, second.to_string());
    scene.stop().await;
}

#[tokio::test]
async fn a_forced_push_back_to_an_older_commit_is_a_new_head() {
    let scene = Scene::set().await;
    scene.latch.open();
    let older = scene.pushed("One").await;
    finished(&scene).await;
    scene.pushed("Two").await;
    finished(&scene).await;
    let github = &scene.server.house.github;
    github.force(&scene.repo, "main", &older);
    scene.deliver(PUSH, &github.push_payload(&scene.repo, "main")).await;
    scene.look().await;
    assert_eq!(scene.builds().await[0].0, older.to_string());
    assert_eq!(scene.builds().await.len(), 3);
    scene.stop().await;
}

#[tokio::test]
async fn what_was_pushed_while_nobody_listened_is_found_by_asking() {
    let scene = Scene::set().await;
    scene.latch.open();
    let github = &scene.server.house.github;
    scene.look().await;
    assert!(scene.builds().await.is_empty(), "enabling alone deploys nothing");
    let sha = scene.push("While the server was down");
    scene.server.house.clock.advance(Duration::from_secs(61));
    scene.look().await;
    assert_eq!((scene.builds().await[0].0.clone(), scene.verdicts().await), (sha.to_string(), vec![Verdict::Deployed]));
    let told = github.heads_told();
    for _ in 0..10 {
        scene.server.house.clock.advance(Duration::from_secs(61));
        scene.look().await;
    }
    assert_eq!(github.heads_told(), told, "an unchanged head costs the host's allowance nothing");
    assert_eq!(scene.builds().await.len(), 1);
    scene.stop().await;
}

#[tokio::test]
async fn who_waits_for_ci_is_deployed_when_all_checks_have_passed() {
    let scene = Scene::following(|wish| siesta::repositories::Wish { wait_for_ci: true, ..wish }).await;
    scene.latch.open();
    let github = scene.server.house.github.clone();
    let sha = scene.pushed("Tested").await;
    assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![Verdict::WaitingForCi], 0));
    let check = format!(r#"{{"sha":"{sha}","state":"success","repository":{{"id":1}}}}"#);
    for (state, verdict) in [(CiState::Pending, Verdict::WaitingForCi), (CiState::Failure("tests".into()), Verdict::CiFailed)] {
        github.set_ci(&sha, state);
        scene.deliver("status", &check).await;
        scene.look().await;
        assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![verdict], 0));
    }
    github.set_ci(&sha, CiState::Success);
    scene.deliver("status", &check).await;
    scene.look().await;
    assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![Verdict::Deployed], 1));
    scene.stop().await;
}

#[tokio::test]
async fn a_renamed_repository_is_followed_and_a_deleted_one_is_said() {
    let mut scene = Scene::set().await;
    scene.latch.open();
    scene.repo = scene.server.house.github.rename(&scene.repo, "ana/otra");
    let sha = scene.pushed("After the move").await;
    assert_eq!(scene.builds().await[0].0, sha.to_string());
    finished(&scene).await;
    let build = &scene.server.house.owners.reader.builds(scene.app.id, 1).await.unwrap()[0];
    assert_eq!((build.status, build.source_url.as_str()), (BuildStatus::Succeeded, "https://github.test/ana/otra"), "{:?}", build.error);
    let page = scene.server.get(&scene.ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("ana/otra"), "{}", page.text);
    let said = scene.server.house.owners.logs.recent(scene.app.id, &Filter::default(), 100).await.unwrap();
    assert!(said.iter().any(|(_, line)| line.message.contains("Repository ana/tienda is ana/otra now")), "{said:?}");
    scene.repo = scene.server.house.github.rename(&scene.repo, "ies-demo/tienda");
    let usurper = scene.server.house.github.repository_of("ana/otra", false, &["eve"]);
    scene.server.house.github.push(&usurper, "main", "Whoever takes a name takes no app", &files("evil"));
    let answer = scene.server.post(&scene.ana, "/apps/tienda/github/deploy", &[("branch", "main")]).await;
    assert!(answer.header("location").starts_with("/apps/tienda/builds/"), "{}", answer.text);
    finished(&scene).await;
    let build = &scene.server.house.owners.reader.builds(scene.app.id, 1).await.unwrap()[0];
    assert_eq!(build.source_url, "https://github.test/ies-demo/tienda", "a transferred one is known by its id");
    let page = scene.server.get(&scene.ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("ies-demo/tienda"), "{}", page.text);
    scene.server.house.github.delete(&scene.repo);
    scene.server.house.clock.advance(Duration::from_secs(61));
    scene.look().await;
    let page = scene.server.get(&scene.ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("The repository was deleted, or this account may not see it"), "{}", page.text);
    scene.stop().await;
}

#[tokio::test]
async fn whoever_takes_a_repository_s_old_name_takes_no_app_over() {
    let scene = Scene::set().await;
    scene.latch.open();
    let github = scene.server.house.github.clone();
    let moved = github.rename(&scene.repo, "ies-demo/tienda");
    let usurper = github.repository_of("ana/tienda", false, &["eve"]);
    let evil = github.push(&usurper, "main", "Take over", &files("evil"));
    scene.server.house.clock.advance(Duration::from_secs(61));
    scene.look().await;
    assert!(scene.builds().await.is_empty(), "the repository is the one that was connected, whatever its name");
    let sha = github.push(&moved, "main", "Ours", &files("2"));
    scene.server.house.clock.advance(Duration::from_secs(61));
    scene.look().await;
    let builds = scene.builds().await;
    assert!(builds.len() == 1 && builds[0].0 == sha.to_string() && builds[0].0 != evil.to_string(), "{builds:?}");
    scene.stop().await;
}

#[tokio::test]
async fn an_unreachable_host_is_asked_again_and_a_revoked_connection_is_said() {
    let scene = Scene::set().await;
    scene.latch.open();
    let github = scene.server.house.github.clone();
    scene.push("One");
    let body = github.push_payload(&scene.repo, "main");
    scene.deliver(PUSH, &body).await;
    github.fail_with(Some(GitHostError::RateLimited(30)));
    scene.look().await;
    assert_eq!(scene.verdicts().await, [Verdict::Unreachable]);
    github.fail_with(None);
    scene.server.house.clock.advance(Duration::from_secs(61));
    scene.look().await;
    assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![Verdict::Deployed], 1));
    github.revoke_all("ana");
    scene.pushed("Two").await;
    assert_eq!(scene.verdicts().await[0], Verdict::Refused);
    let page = scene.server.get(&scene.ana, "/apps/tienda/deploy").await;
    assert!(page.text.contains("GitHub does not accept the connection any more"), "{}", page.text);
    scene.stop().await;
}

#[tokio::test]
async fn the_repository_s_page_is_told_of_every_build() {
    let scene = Scene::set().await;
    let repositories = scene.server.house.owners.repositories.clone();
    let github = scene.server.house.github.clone();
    let states = || github.reports().into_iter().map(|(_, deployment, report)| (deployment.is_some(), report.state)).collect::<Vec<_>>();
    let sha = scene.pushed("One").await;
    running(&scene).await;
    repositories.report().await;
    assert_eq!(states(), [(true, ReportState::Building)]);
    scene.latch.open();
    finished(&scene).await;
    github.fail_with(Some(GitHostError::Unreachable("down".to_owned())));
    repositories.report().await;
    github.fail_with(None);
    repositories.report().await;
    repositories.report().await;
    let status = scene.builds().await[0].1;
    assert_eq!((states(), status), (vec![(true, ReportState::Building), (true, ReportState::Live)], BuildStatus::Succeeded));
    let (name, _, report) = github.reports().pop().unwrap();
    assert_eq!((name, report.sha, report.environment.as_str()), (scene.repo.clone(), sha, "tienda"));
    assert_eq!(report.environment_url, "http://tienda.localhost:8080/");
    assert!(report.log_url.starts_with("http://localhost:8080/apps/tienda/builds/"), "{}", report.log_url);
    scene.stop().await;
}

#[tokio::test]
async fn deploy_branch_shows_its_steps_and_disabled_means_disabled() {
    let scene = Scene::set().await;
    scene.latch.open();
    let github = scene.server.house.github.clone();
    let sha = github.push(&scene.repo, "feature/cart", "Try a cart", &files("2"));
    let answer = scene.server.post(&scene.ana, "/apps/tienda/github/deploy", &[("branch", "feature/cart")]).await;
    let path = answer.header("location").to_owned();
    finished(&scene).await;
    let page = scene.server.get(&scene.ana, &path).await;
    let build = format!("Build feature/cart {}", sha.short());
    for text in ["Receive code from GitHub", &build, "Release phase", "Your app was successfully deployed.", "View"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    for wrong in ["nope", "--upload-pack=x", "a..b"] {
        let answer = scene.server.post(&scene.ana, "/apps/tienda/github/deploy", &[("branch", wrong)]).await;
        assert_eq!(answer.header("location"), "/apps/tienda/deploy", "{wrong}");
    }
    assert_eq!(scene.builds().await.len(), 1);
    scene.server.post(&scene.ana, "/apps/tienda/github/automatic/disable", &[]).await;
    scene.pushed("Not deployed").await;
    assert_eq!((scene.verdicts().await, scene.builds().await.len()), (vec![Verdict::Off], 1));
    scene.stop().await;
}

#[tokio::test]
async fn submodules_come_along_and_lfs_pointers_are_refused_with_a_reason() {
    let scene = Scene::set().await;
    scene.latch.open();
    let github = scene.server.house.github.clone();
    let theme = github.repository_of("ana/tema", true, &["ana"]);
    let theme_sha = github.push(&theme, "main", "Theme", &[("requirements.txt", "flask\n"), ("tema.css", "a{}")]);
    let modules = "[submodule \"tema\"]\n\tpath = libs/tema\n\turl = ../tema.git\n";
    let mut with_module = files("1").to_vec();
    with_module.push((".gitmodules", modules));
    let sha = github.push(&scene.repo, "main", "Use the theme", &with_module);
    github.add_submodule(&scene.repo, &sha, "libs/tema", &theme_sha);
    scene.deliver(PUSH, &github.push_payload(&scene.repo, "main")).await;
    scene.look().await;
    finished(&scene).await;
    let owners = &scene.server.house.owners;
    let build = owners.reader.builds(scene.app.id, 1).await.unwrap().remove(0);
    assert_eq!(build.status, BuildStatus::Succeeded, "{:?}", build.error);
    let slug = owners.reader.slug(build.slug_id.unwrap()).await.unwrap().unwrap();
    let code = std::fs::read(owners.config.options.data_dir.join("files").join(slug.code_file)).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(&code[..]).unwrap());
    let names: Vec<String> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert!(names.contains(&"app/libs/tema/tema.css".to_owned()) && names.contains(&"app/app.py".to_owned()), "{names:?}");

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let mut with_pointer = files("2").to_vec();
    with_pointer.push(("static/video.mp4", pointer));
    github.push(&scene.repo, "main", "A film", &with_pointer);
    scene.deliver(PUSH, &github.push_payload(&scene.repo, "main")).await;
    scene.look().await;
    finished(&scene).await;
    let build = owners.reader.builds(scene.app.id, 1).await.unwrap().remove(0);
    let error = build.error.unwrap_or_default();
    assert!(error.starts_with("`static/video.mp4` is kept in Git LFS"), "{error}");
    let left: Vec<_> = std::fs::read_dir(owners.config.options.data_dir.join("uploads")).unwrap().collect();
    assert!(left.is_empty(), "nothing stays of what was fetched");
    scene.stop().await;
}
