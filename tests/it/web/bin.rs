//! The bin: a destroyed app is gone at once, comes back for seven days, and is purged then.

use std::time::Duration;

use http::StatusCode;
use siesta::{
    apps::BIN,
    domain::AppId,
    dynos::AppPhase,
    engine::{EngineError, fake::Call},
    slugs::app_image,
};

use super::server::{Server, Visitor};

async fn delete(server: &Server, owner: &Visitor, name: &str) {
    let gone = server.post(owner, &format!("/apps/{name}/delete"), &[("confirm", name)]).await;
    assert_eq!((gone.status, gone.header("location")), (StatusCode::SEE_OTHER, "/apps"), "{}", gone.text);
}

fn running(server: &Server) -> usize {
    server.house.engine.running().len()
}

#[tokio::test]
async fn a_deleted_app_comes_back_with_its_code_its_variables_and_its_people() {
    let (server, ana) = Server::claimed().await;
    let vera = server.person("vera@example.org").await;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.post(&ana, "/apps/tienda/access/give", &[("email", "vera@example.org"), ("role", "view")]).await;
    let awake = async || {
        let mut status = server.house.owners.dynos.status(app.id).unwrap();
        status.wait_for(|status| status.phase == AppPhase::Awake).await.unwrap();
    };
    awake().await;
    let set = server.post(&ana, "/apps/tienda/config", &[("key", "SHOP"), ("value", "Pixel")]).await;
    assert_eq!((set.status, set.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda/settings#vars"), "{}", set.text);
    // Whether the dyno of that release is up by now is nobody's business: the app comes back with it.
    let versions = server.house.owners.reader.releases(app.id).await.unwrap().len();
    delete(&server, &ana, "tienda").await;
    assert_eq!(running(&server), 0, "its dynos are stopped");
    for visitor in [&ana, &vera] {
        assert_eq!(server.get(visitor, "/apps/tienda").await.status, StatusCode::NOT_FOUND);
        assert!(!server.get(visitor, "/apps").await.text.contains("tienda"));
    }
    assert!(server.get(&ana, "/apps").await.text.contains("One app in the bin"));
    let bin = server.get(&ana, "/bin").await.text;
    assert!(bin.contains("tienda") && bin.contains("It is removed for good on 2015-05-"), "{bin}");
    assert!(!server.get(&vera, "/bin").await.text.contains("tienda"), "of others nobody knows");
    let slug = server.house.owners.reader.current_release(app.id).await.unwrap().unwrap().slug_id.unwrap();
    assert!(!server.house.engine.images().contains(&app_image(slug).0), "images are caches");
    server.house.engine.add_image(&app_image(slug).0);
    let back = server.post(&ana, &format!("/bin/{}/restore", app.id), &[("name", "tienda")]).await;
    assert_eq!((back.status, back.header("location")), (StatusCode::SEE_OTHER, "/apps/tienda"), "{}", back.text);
    let settings = server.get(&ana, "/apps/tienda/settings?reveal=1").await.text;
    assert!(settings.contains("Pixel"), "{settings}");
    assert_eq!(server.get(&vera, "/apps/tienda").await.status, StatusCode::OK);
    assert_eq!(server.house.owners.reader.releases(app.id).await.unwrap().len(), versions);
    server.house.owners.dynos.wake(app.id).await.unwrap();
    awake().await;
    assert!(server.get(&ana, "/apps/tienda/activity").await.text.contains("Brought back from the bin"));
    assert!(server.get(&ana, "/bin").await.text.contains("The bin is empty"));
    server.stop().await;
}

#[tokio::test]
async fn its_name_is_free_at_once_and_it_comes_back_under_another() {
    let (server, ana) = Server::claimed().await;
    let first = server.app(&ana, "tienda").await;
    delete(&server, &ana, "tienda").await;
    server.app(&ana, "tienda").await;
    let restore = async |name: &str| server.post(&ana, &format!("/bin/{}/restore", first.id), &[("name", name)]).await;
    assert!(server.get(&ana, "/bin").await.text.contains("Another app has this name now"));
    let taken = restore("tienda").await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken.text.contains("This name is not available"), "{}", taken.text);
    assert_eq!(restore("Mal!").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(restore("tienda-vieja").await.header("location"), "/apps/tienda-vieja");
    assert_eq!(restore("otra").await.status, StatusCode::NOT_FOUND, "it is not in the bin any more");
    server.stop().await;
}

#[tokio::test]
async fn the_bin_counts_for_no_limit_but_bringing_back_does() {
    let (server, ana) = Server::claimed().await;
    let first = server.app(&ana, "uno").await;
    for name in ["dos", "tres", "cuatro", "cinco"] {
        server.app(&ana, name).await;
    }
    delete(&server, &ana, "uno").await;
    server.app(&ana, "seis").await;
    let full = server.post(&ana, &format!("/bin/{}/restore", first.id), &[("name", "uno")]).await;
    assert_eq!(full.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(full.text.contains("Your plan has room for 5 apps"), "{}", full.text);
    server.stop().await;
}

#[tokio::test]
async fn somebody_elses_bin_is_not_there() {
    let (server, ana) = Server::claimed().await;
    let eve = server.person("eve@example.org").await;
    let app = server.app(&ana, "tienda").await;
    delete(&server, &ana, "tienda").await;
    for (path, field) in [("restore", "name"), ("purge", "confirm")] {
        let theirs = server.post(&eve, &format!("/bin/{}/{path}", app.id), &[(field, "tienda")]).await;
        let nothing = server.post(&eve, &format!("/bin/{}/{path}", AppId::new()), &[(field, "tienda")]).await;
        assert_eq!((theirs.status, nothing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{path}");
    }
    assert!(server.get(&ana, "/bin").await.text.contains("tienda"));
    server.stop().await;
}

#[tokio::test]
async fn after_seven_days_it_is_purged_with_its_files() {
    let (server, ana) = Server::claimed().await;
    let (owners, engine) = (&server.house.owners, &server.house.engine);
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    delete(&server, &ana, "tienda").await;
    let still = async || owners.reader.binned_apps().await.unwrap().len();
    server.house.clock.advance(BIN.saturating_sub(Duration::from_secs(60)));
    owners.apps.sweep_bin().await;
    assert_eq!(still().await, 1, "a minute is left");
    server.house.clock.advance(Duration::from_secs(61));
    owners.apps.sweep_bin().await;
    assert_eq!(still().await, 0);
    assert!(owners.reader.app_in_bin(app.id).await.unwrap().is_none() && owners.reader.releases(app.id).await.unwrap().is_empty());
    assert!(engine.running().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn it_is_deleted_for_good_by_typing_its_name() {
    let (server, ana) = Server::claimed().await;
    let app = server.app(&ana, "tienda").await;
    delete(&server, &ana, "tienda").await;
    let purge = async |name: &str| server.post(&ana, &format!("/bin/{}/purge", app.id), &[("confirm", name)]).await;
    assert_eq!(purge("tiend").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(purge("tienda").await.header("location"), "/bin");
    assert!(server.get(&ana, "/bin").await.text.contains("The bin is empty"));
    server.stop().await;
}

#[tokio::test]
async fn what_was_cut_off_on_its_way_into_the_bin_is_put_away_later() {
    let (server, ana) = Server::claimed().await;
    let owners = &server.house.owners;
    let app = server.app(&ana, "tienda").await;
    server.deploy(&ana, &app).await;
    server.house.engine.fail_next(Call::RemoveNetwork, EngineError::Refused("busy".to_owned()));
    delete(&server, &ana, "tienda").await;
    let waiting = server.get(&ana, "/bin").await.text;
    assert!(waiting.contains("Being put away"), "{waiting}");
    let early = server.post(&ana, &format!("/bin/{}/restore", app.id), &[("name", "tienda")]).await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
    owners.apps.sweep_bin().await;
    assert!(!server.get(&ana, "/bin").await.text.contains("Being put away"));
    assert_eq!(running(&server), 0);
    let back = server.post(&ana, &format!("/bin/{}/restore", app.id), &[("name", "tienda")]).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text);
    server.stop().await;
}
