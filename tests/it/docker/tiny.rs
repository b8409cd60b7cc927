//! A tiny image made of the host's static busybox, and a bench of our own on real Docker: whatever a
//! test makes there carries an instance name of its own and is gone afterwards.

use std::{fs, path::Path, sync::Arc};

use sha2::{Digest, Sha256};
use siesta::engine::{ByteStream, Engine, ImageRef, docker::Docker};

use crate::engine_contract::{Bench, bytes};

/// Where Docker listens.
pub fn socket() -> String {
    std::env::var("SIESTA_DOCKER_SOCKET").unwrap_or_else(|_| "/var/run/docker.sock".to_owned())
}

/// Runs a test with an engine of its own and removes what it left, even when it fails.
pub async fn with_docker(test: impl AsyncFnOnce(Bench)) {
    let instance = format!("t{:08x}", rand::random::<u32>());
    let engine = Arc::new(Docker::connect(Path::new(&socket()), &instance).expect("a Docker socket"));
    let image = tiny_image(engine.as_ref()).await;
    Bench::new(engine, &instance, image, "10.214.0.0/16").await.run(test).await;
}

const APPLETS: &[&str] = &[
    "arping", "cat", "echo", "grep", "head", "httpd", "id", "ls", "seq", "sh", "sleep", "stat", "stty", "tail", "touch", "tr", "true",
    "wget",
];

/// Loads the image unless it is there: named by the hash of what is in it.
pub async fn tiny_image(engine: &dyn Engine) -> ImageRef {
    let layer = layer(&fs::read("/bin/busybox").expect("the Debian package busybox-static (script/test installs it)"));
    let layer_hash = hex::encode(Sha256::digest(&layer));
    let image = ImageRef(format!("siesta/test-tiny:{}", &layer_hash[..12]));
    if !engine.has_image(image.clone()).await.unwrap() {
        engine.load_images(saved(&image, &layer, &layer_hash)).await.unwrap();
    }
    image
}

fn layer(busybox: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let folder = |tar: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        tar.append_data(&mut header, name, &b""[..]).unwrap();
    };
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("opt/siesta", 0o755), ("app", 0o1777), ("cache", 0o755), ("tmp", 0o1777)] {
        folder(&mut tar, name, mode);
    }
    // Like the stack's: the process type, then the command.
    for (name, content) in [("bin/busybox", busybox), ("opt/siesta/launch", b"#!/bin/sh\nexec /bin/sh -c \"$2\"\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, content).unwrap();
    }
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    tar.into_inner().unwrap()
}

/// The image under another name, as `docker save` writes it.
pub fn tiny_copy(image: &ImageRef) -> ByteStream {
    let layer = layer(&fs::read("/bin/busybox").expect("the Debian package busybox-static (script/test installs it)"));
    saved(image, &layer, &hex::encode(Sha256::digest(&layer)))
}

/// An archive as `docker save` writes it.
fn saved(image: &ImageRef, layer: &[u8], layer_hash: &str) -> ByteStream {
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": { "siesta.test": "tiny" } },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_hash}")] },
    });
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [image.0], "Layers": ["layer.tar"] }]);
    bytes(crate::engine_contract::tar_of(&[
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ]))
}

/// The same archive without a layer worth running: for the fake.
pub fn hollow(image: &ImageRef) -> ByteStream {
    saved(image, b"", "00")
}
