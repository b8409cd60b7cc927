//! Static files, embedded, under addresses that carry their hash: cached for ever, changed at once.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "static"]
#[exclude = "*.toml"]
#[exclude = "*/LICENSE"]
struct Files;

struct Asset {
    bytes: Bytes,
    kind: String,
}

struct Assets {
    /// `app.css` -> `/assets/app.1a2b3c4d5e6f.css`.
    urls: HashMap<String, String>,
    /// `app.1a2b3c4d5e6f.css` -> the file.
    files: HashMap<String, Asset>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(load);

/// The address of a static file. Templates name only files that exist; a test holds that.
pub fn url(name: &str) -> &'static str {
    ASSETS.urls.get(name).map_or("/assets/missing", String::as_str)
}

/// `GET /assets/{*path}`: immutable; an old hash is a 404.
pub async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.files.get(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{path}\"");
    let fixed = [(header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()), (header::ETAG, tag.clone())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    (fixed, [(header::CONTENT_TYPE, asset.kind.clone())], Body::from(asset.bytes.clone())).into_response()
}

/// Hashes every file. Style sheets come last: they name fonts by their plain paths, which are
/// replaced by the hashed ones first.
fn load() -> Assets {
    let mut assets = Assets { urls: HashMap::new(), files: HashMap::new() };
    let (sheets, others): (Vec<_>, Vec<_>) = Files::iter().partition(|name| name.ends_with(".css"));
    for name in others.into_iter().chain(sheets) {
        let file = Files::get(&name).expect("a listed file is embedded").data;
        let bytes = if name.ends_with(".css") { with_hashed_names(&file, &assets.urls) } else { Bytes::from(file.into_owned()) };
        let hash = hex::encode(&Sha256::digest(&bytes)[..6]);
        let hashed = match name.rsplit_once('.') {
            Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
            None => format!("{name}.{hash}"),
        };
        let kind = mime_guess::from_path(&*name).first_or_octet_stream().to_string();
        let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind };
        assets.urls.insert(name.into_owned(), format!("/assets/{hashed}"));
        assets.files.insert(hashed, Asset { bytes, kind });
    }
    assets
}

fn with_hashed_names(sheet: &[u8], urls: &HashMap<String, String>) -> Bytes {
    let mut text = String::from_utf8_lossy(sheet);
    for (name, url) in urls {
        let plain = format!("url(\"{name}\")");
        if text.contains(&plain) {
            text = Cow::Owned(text.replace(&plain, &format!("url(\"{url}\")")));
        }
    }
    Bytes::from(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_sheets_name_fonts_by_their_hashed_addresses() {
        let sheet = &ASSETS.files[url("app.css").trim_start_matches("/assets/")];
        let text = std::str::from_utf8(&sheet.bytes).unwrap();
        assert!(!text.contains("url(\"vendor/"), "a font has no hashed name");
        assert!(text.contains(url("vendor/inter-5.3.0/inter-latin-wght-normal.woff2")));
    }

    #[test]
    fn every_asset_a_template_names_exists() {
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for (at, found) in text.match_indices("asset(\"") {
                let name = text[at + found.len()..].split('"').next().unwrap();
                assert!(ASSETS.urls.contains_key(name), "{}: {name}", path.display());
            }
        }
    }

    #[test]
    fn vendored_files_are_what_their_list_says() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("static/vendor");
        for folder in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
            let list = std::fs::read_to_string(folder.join("vendor.toml")).unwrap();
            let hashes = list.split("[sha256]").nth(1).unwrap().lines().filter_map(|line| line.split_once(" = "));
            for (name, hash) in hashes {
                let bytes = std::fs::read(folder.join(name.trim_matches('"'))).unwrap();
                assert_eq!(hex::encode(Sha256::digest(&bytes)), hash.trim_matches('"'), "{name}");
            }
        }
    }
}
