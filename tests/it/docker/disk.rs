//! A data folder on a small file system that is full for a while: what is refused is refused whole
//! and with a sentence, and when there is space again everything goes on. It needs no Docker, but
//! the right to mount.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path, sync::Arc};

use http::StatusCode;
use siesta::{domain::user::Actor, http::Fault, releases::ReleaseError};

use crate::{
    engine_contract::{bytes, tar_of},
    support::{house::House, served::program},
};

const MIB: usize = 1 << 20;

/// A file system of its own over a folder, until it is dropped.
struct Small(Arc<tempfile::TempDir>);

/// As root, or through sudo.
fn as_root(command: &str, arguments: &[&str]) -> bool {
    let root = fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t0\t"));
    let mut run = if root { program(command) } else { program("sudo") };
    if !root {
        run.args(["-n", command]);
    }
    run.args(arguments).status().is_ok_and(|status| status.success())
}

impl Small {
    fn of(megabytes: usize) -> Small {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        assert!(as_root("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", folder.path().to_str().unwrap()]), "a small file system");
        Small(Arc::new(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left, byte by byte at the end.
    fn fill(&self) {
        let mut file = fs::File::create(self.path().join("filler")).unwrap();
        for size in [MIB, 4096, 1] {
            let block = vec![7; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn clear(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        as_root("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_whole_and_goes_on_when_there_is_space() {
    let small = Small::of(24);
    let house = House::over(small.0.clone(), &["--disk-floor-mb", "0"]).await;
    let owners = &house.owners;
    let user = owners.accounts.system_user().await.unwrap();
    let by = Actor { id: user.id, email: user.email };
    let app = owners.apps.create(Some("tienda".parse().unwrap()), &by).await.unwrap();
    owners.releases.deploy(app.id, house.slug(app.id), "1a2b3c4d", &by).await.unwrap();
    let set = async |round: usize| {
        let value = format!("{round}{}", "x".repeat(20_000));
        owners.releases.set_config(app.id, BTreeMap::from([("VALUE".parse().unwrap(), Some(value.into()))]), &by).await
    };
    let versions = async || {
        let mut versions: Vec<i64> = owners.reader.releases(app.id).await.unwrap().iter().map(|release| release.version.0).collect();
        versions.sort_unstable();
        versions
    };
    let source = owners.builder.create_source(Some(app.id), &by).await.unwrap();

    small.fill();
    let mut done = 0;
    // What the database has allocated already can still be used.
    let refused: ReleaseError = loop {
        match set(done).await {
            Ok(_) => done += 1,
            Err(refused) => break refused,
        }
        assert!(done < 2_000, "the disk is full");
    };
    let fault = Fault::from(refused);
    assert_eq!(fault.status, StatusCode::SERVICE_UNAVAILABLE, "{}", fault.message);
    assert_eq!(fault.message, "The disk of this server is full; nothing was changed. Its administrator must make room.");
    let known = versions().await;
    assert_eq!(known, (1..=3 + done as i64).collect::<Vec<_>>(), "what was refused left nothing behind");
    let archive = tar_of(&[("noise", &(0..2 * MIB).map(|_| rand::random()).collect::<Vec<u8>>())]);
    let refused = owners.builder.receive(&source.put_token, bytes(archive.clone())).await.unwrap_err();
    let fault = Fault::from(refused);
    assert_eq!((fault.status, fault.message.starts_with("The disk of this server is full")), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(fs::read_dir(small.path().join("uploads")).map_or(0, Iterator::count), 0, "no half of an upload is left");

    small.clear();
    set(done + 1).await.expect("there is space again");
    assert_eq!(versions().await, (1..=4 + done as i64).collect::<Vec<_>>());
    owners.builder.receive(&source.put_token, bytes(archive)).await.expect("the same upload");
    owners.logs.api(app.id, "space again");
    owners.logs.flush().await;
    house.stop().await;

    let house = House::over(small.0.clone(), &["--disk-floor-mb", "0"]).await;
    let lines = house.owners.logs.recent(app.id, &siesta::logs::Filter::default(), 1_500).await.unwrap();
    assert!(lines.iter().any(|(_, line)| line.message == "space again"), "the log goes on");
    house.stop().await;
}
