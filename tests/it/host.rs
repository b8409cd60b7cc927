//! The host guard: a full machine refuses politely, and says how much more fits.

use http::StatusCode;
use siesta::{
    builder::BuildError,
    domain::Plan,
    dynos::{DynoError, Refusal},
    http::Fault,
};

use crate::{
    dynos::world::Machine,
    engine_contract::{bytes, tar_of},
    support::house::House,
};

const WEB: &str = "web: gunicorn app:app";

#[tokio::test]
async fn as_many_dynos_start_as_the_figure_says_and_the_next_is_refused() {
    let flags = vec!["--app-memory-mb", "1600", "--disk-floor-mb", "0"];
    let machine = Machine { flags, ..Machine::new() };
    let world = machine.serve().await;
    let one = Plan::free().memory_bytes;
    let figure = world.host.capacity(one).unwrap();
    assert_eq!((figure.more_dynos, figure.text.as_str()), (3, "about 3 more fit"));
    let mut apps = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let app = world.app(name).await;
        let deployed = world.deploy(&app, WEB).await;
        assert_eq!(deployed.is_ok(), name != "four", "{name}: {deployed:?}");
        apps.push(app);
    }
    let full = world.host.capacity(one).unwrap();
    assert_eq!((full.more_dynos, full.promised_mb), (0, 1536));
    assert!(full.text.starts_with("This server has no memory for another dyno: 1536 of 1600 MB"), "{}", full.text);
    assert!(matches!(world.request("four").await, Err(Refusal::NoRoom)));
    assert!(matches!(world.dynos.wake(apps[3].id).await, Err(DynoError::NoRoom(_))));
    assert!(world.host.admit(one).is_err());
    let lines = world.lines(apps[3].id).await;
    assert!(lines.iter().any(|line| line.contains("Error R99 (Platform error) -> This server has no memory")), "{lines:#?}");
    assert!(world.request("one").await.is_ok(), "those that run go on");
    world.apps.destroy(apps[0].id, &world.by).await.unwrap();
    world.until_running(2).await;
    assert_eq!(world.host.capacity(one).unwrap().more_dynos, 1);
    world.dynos.wake(apps[3].id).await.unwrap();
    world.until_up(apps[3].id).await;
    world.stop().await;
    let world = machine.serve().await;
    for name in ["two", "three", "four"] {
        assert!(world.request(name).await.is_ok());
    }
    assert_eq!(world.host.capacity(one).unwrap().more_dynos, 0, "dynos from before count");
}

#[tokio::test]
async fn a_full_disk_takes_no_upload_and_starts_nothing() {
    let house = House::start(&["--disk-floor-mb", "4000000000"]).await;
    let user = house.owners.accounts.system_user().await.unwrap();
    let by = siesta::domain::user::Actor { id: user.id, email: user.email };
    let app = house.owners.apps.create(None, &by).await.unwrap();
    let source = house.owners.builder.create_source(Some(app.id), &by).await.unwrap();
    let refused = house.owners.builder.receive(&source.put_token, bytes(Vec::new())).await.unwrap_err();
    assert!(matches!(refused, BuildError::NoRoom(_)));
    let fault = Fault::from(refused);
    assert_eq!(fault.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(fault.message.starts_with("The disk of this server is nearly full:"), "{}", fault.message);
    assert!(house.owners.host.admit(app.number.into()).is_err());
    house.stop().await;
}

#[tokio::test]
async fn a_dyno_that_fills_its_disk_is_stopped_with_a_sentence() {
    let world = Machine { dyno_disk_bytes: 1_000_000, ..Machine::new() }.serve().await;
    let app = world.app("tienda").await;
    world.deploy(&app, WEB).await.unwrap();
    let (container, _) = world.engine.running()[0].clone();
    world.dynos.check_disks().await;
    assert_eq!(world.engine.running()[0].0, container, "little is written");
    let tar = tar_of(&[("big", &[7; 2_000_000])]);
    siesta::engine::Engine::put_archive(&world.engine, container.clone(), "/".into(), bytes(tar)).await.unwrap();
    world.dynos.check_disks().await;
    world.engine.until(|engine| engine.running().iter().all(|(id, _)| *id != container)).await;
    let said =
        "heroku[web.1]: The dyno wrote 1 MB to its disk, more than its 0 MB, and is stopped. Its files are gone; keep them elsewhere.";
    assert!(world.lines(app.id).await.contains(&said.to_owned()), "{:#?}", world.lines(app.id).await);
}
