//! Hostile and ordinary archives (security.md T5, T6).

use std::{collections::BTreeMap, path::PathBuf};

use super::*;

const LIMITS: ArchiveLimits = ArchiveLimits { unpacked_bytes: 32 * 1024 * 1024, entries: 2_000 };

/// A tar made by hand: names and links are written as they are, also where they are wrong.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, entry_type: u8, path: &str, link: &str, content: &[u8]) -> Tar {
        self.header(entry_type, path, link, content.len() as u64);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn header(&mut self, entry_type: u8, path: &str, link: &str, size: u64) {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(entry_type));
        header.set_mode(0o4755);
        header.set_size(size);
        header.set_mtime(1_700_000_000);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn file(self, path: &str, content: &str) -> Tar {
        self.entry(b'0', path, "", content.as_bytes())
    }

    fn link(self, path: &str, target: &str) -> Tar {
        self.entry(b'2', path, target, b"")
    }

    fn done(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        Bench(tempfile::tempdir().expect("a folder"))
    }

    fn files(&self) -> PathBuf {
        self.0.path().join("files")
    }

    fn repack(&self, upload: &[u8]) -> Result<Repacked, ArchiveError> {
        let path = self.0.path().join("upload");
        std::fs::write(&path, upload).expect("written");
        std::fs::create_dir_all(self.files()).expect("a folder");
        let result = repack(&path, &self.files(), 20_007, LIMITS);
        if result.is_err() {
            assert_eq!(std::fs::read_dir(self.files()).expect("the folder").count(), 0, "nothing is left of a refused archive");
        }
        result
    }

    /// What was written: path -> mode, content or link target.
    fn listing(&self, repacked: &Repacked) -> BTreeMap<String, String> {
        let file = File::open(self.files().join(&repacked.sha256)).expect("the file");
        let mut archive = tar::Archive::new(zstd::Decoder::new(file).expect("zstd"));
        let mut seen = BTreeMap::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            assert_eq!((entry.header().uid().expect("uid"), entry.header().gid().expect("gid")), (20_007, 20_007));
            let path = entry.path().expect("a path").display().to_string();
            let mut text = format!("{:o} ", entry.header().mode().expect("a mode"));
            match entry.link_name().expect("a link") {
                Some(target) => text.push_str(&format!("-> {}", target.display())),
                None => _ = entry.read_to_string(&mut text).expect("text"),
            }
            assert!(seen.insert(path.clone(), text).is_none(), "{path} twice");
        }
        seen
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn a_source_is_written_anew_under_app_with_one_owner() {
    let bench = Bench::new();
    let upload = Tar::default()
        .entry(b'g', "pax_global_header", "", b"52 comment=1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b\n")
        .entry(b'5', "shop-1a2b/", "", b"")
        .file("shop-1a2b/Procfile", "web: x\n")
        .file("shop-1a2b/src/pkg/mod.py", "pass")
        .file("shop-1a2b/.git/config", "secret")
        .file("shop-1a2b/src/__pycache__/mod.pyc", "x")
        .file("shop-1a2b/notes.psd", "art")
        .file("shop-1a2b/.slugignore", "*.psd\n")
        .link("shop-1a2b/src/latest", "../src/./pkg")
        .entry(b'1', "shop-1a2b/copy", "shop-1a2b/Procfile", b"")
        .done();
    for upload in [gzip(&upload), upload] {
        let repacked = bench.repack(&upload).expect("repacked");
        let seen = bench.listing(&repacked);
        let expected = [
            ("app/", "755 "),
            ("app/.slugignore", "755 *.psd\n"),
            ("app/Procfile", "755 web: x\n"),
            ("app/copy", "777 -> app/Procfile"),
            ("app/src/", "755 "),
            ("app/src/latest", "777 -> ../src/pkg"),
            ("app/src/pkg/", "755 "),
            ("app/src/pkg/mod.py", "755 pass"),
        ];
        assert_eq!(seen.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(repacked.tree.text("Procfile").as_deref(), Some("web: x\n"));
        assert!(repacked.tree.has("src") && !repacked.tree.has("shop-1a2b"));
    }
}

#[test]
fn without_one_top_folder_nothing_is_stripped_and_the_last_of_two_wins() {
    let bench = Bench::new();
    let upload = Tar::default().file("./a.txt", "1").file("./dir/b.txt", "2").file("a.txt", "3").done();
    let seen = bench.listing(&bench.repack(&upload).expect("repacked"));
    assert_eq!(seen.get("app/a.txt").map(String::as_str), Some("755 3"));
    assert_eq!(seen.get("app/dir/b.txt").map(String::as_str), Some("755 2"));
}

#[test]
fn long_names_survive() {
    let bench = Bench::new();
    let long = format!("app.py/../x{}", "y".repeat(10)).replace("app.py/../", "") + &"/deeper".repeat(30);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o600);
    builder.append_data(&mut header, &long, &b"ok"[..]).expect("appended");
    let upload = builder.into_inner().expect("a tar");
    let repacked = bench.repack(&upload).expect("repacked");
    let inner = long.split_once('/').expect("a folder").1;
    assert_eq!(bench.listing(&repacked).get(&format!("app/{inner}")).map(String::as_str), Some("644 ok"));
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let start = || Tar::default().file("requirements.txt", "flask");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (start().file("../../etc/cron.d/x", "x").done(), "The path `../../etc/cron.d/x` in the archive leads outside"),
        (start().file("a/../../x", "x").done(), "The path `a/../../x`"),
        (start().file("/etc/passwd", "x").done(), "The path `/etc/passwd`"),
        (start().link("etc", "/etc").done(), "The link `etc` in the archive points to `/etc`"),
        (start().link("a/b", "../../x").done(), "The link `a/b` in the archive points to `../../x`"),
        (start().link("e", "").done(), "The link `e`"),
        (start().link("d", "sub").file("d/file", "x").done(), "The archive has both a file or link `d` and something inside it"),
        (start().file("d", "x").file("d/file", "x").done(), "The archive has both a file or link `d`"),
        (start().entry(b'1', "h", "/etc/shadow", b"").done(), "The path `/etc/shadow`"),
        (start().entry(b'1', "h", "../x", b"").done(), "The path `../x`"),
        (start().entry(b'1', "h", "later", b"").file("later", "x").done(), "The hard link `h` in the archive points to `later`"),
        (start().link("l", "requirements.txt").entry(b'1', "h", "l", b"").done(), "The hard link `h` in the archive points to `l`"),
        (start().entry(b'3', "sda", "", b"").done(), "`sda` in the archive is a device"),
        (start().entry(b'4', "sdb", "", b"").done(), "`sdb` in the archive is a device"),
        (start().entry(b'6', "pipe", "", b"").done(), "`pipe` in the archive is a device"),
        (start().file(&"n/".repeat(45), "x").file(&format!("{}f", "n/".repeat(49)), "").done(), ""),
    ];
    for (upload, says) in cases {
        let result = Bench::new().repack(&upload);
        if says.is_empty() {
            continue;
        }
        let sentence = result.expect_err(says).to_string();
        assert!(sentence.starts_with(says), "{sentence}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    builder.append_data(&mut header, "d/".repeat(10_000) + "f", io::empty()).expect("appended");
    let upload = builder.into_inner().expect("a tar");
    assert!(matches!(Bench::new().repack(&upload), Err(ArchiveError::TooLong(_))));
}

#[test]
fn bombs_are_stopped_early() {
    let zeros = vec![0; 20 * 1024 * 1024];
    let ratio = gzip(&Tar::default().entry(b'0', "zeros", "", &zeros).done());
    assert!(matches!(Bench::new().repack(&ratio), Err(ArchiveError::Bomb)));
    let large = Tar::default().entry(b'0', "a", "", &zeros).entry(b'0', "b", "", &zeros).done();
    assert!(matches!(Bench::new().repack(&large), Err(ArchiveError::TooLarge(32))));
    let many = (0..2_001).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), ""));
    assert!(matches!(Bench::new().repack(&many.done()), Err(ArchiveError::TooMany(2_000))));
    let header = Tar::default().entry(b'x', "x", "", &vec![b'a'; 1024 * 1024]).file("f", "").done();
    assert!(matches!(Bench::new().repack(&header), Err(ArchiveError::Headers)));
    let mut sparse = Tar::default().file("f", "");
    sparse.header(b'0', "claims", "", 1 << 40);
    assert!(matches!(Bench::new().repack(&sparse.done()), Err(ArchiveError::Damaged(_) | ArchiveError::TooLarge(_))));
}

#[test]
fn a_size_told_twice_smuggles_nothing() {
    // A PAX size that hides a second entry from one reader and shows it to another.
    let hidden = Tar::default().file("hidden.py", "boo").0;
    let mut upload = Tar::default().entry(b'x', "PaxHeader", "", b"13 size=1024\n").0;
    let mut outer = Tar::default();
    outer.header(b'0', "outer.bin", "", 0);
    upload.extend_from_slice(&outer.0);
    upload.extend_from_slice(&hidden);
    upload.extend_from_slice(&[0; 1024]);
    let bench = Bench::new();
    if let Ok(repacked) = bench.repack(&upload) {
        let file = File::open(bench.files().join(&repacked.sha256)).expect("the file");
        let mut archive = tar::Archive::new(zstd::Decoder::new(file).expect("zstd"));
        let names: Vec<_> =
            archive.entries().expect("entries").map(|entry| entry.expect("plain").path().expect("a path").into_owned()).collect();
        assert_eq!(names, [PathBuf::from("app/"), PathBuf::from("app/outer.bin")], "one reading only, without extensions");
    }
}

#[test]
fn what_is_no_archive_is_told_from_what_is() {
    let sentence = |bytes: &[u8]| Bench::new().repack(bytes).expect_err("refused").to_string();
    assert!(sentence(b"hello").starts_with("The upload is not a tar or tar.gz archive."));
    assert!(sentence(b"PK\x03\x04rest").starts_with("The upload is a zip archive."));
    assert!(sentence(&gzip(b"not a tar, but long enough to look at")).starts_with("The upload is not a tar"));
    assert!(sentence(&[0; 1024]).starts_with("The archive holds no files."));
    assert!(sentence(b"").starts_with("The archive holds no files."));
    let whole = gzip(&Tar::default().file("requirements.txt", &"flask\n".repeat(1_000)).done());
    assert!(sentence(&whole[..whole.len() / 2]).starts_with("The archive is damaged or cut off"));
}
