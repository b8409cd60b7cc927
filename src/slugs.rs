//! Slugs: the files a release is made of (code, dependencies, stack), deduplicated by hash in the
//! data folder, and the images made of them. Images are caches: after `docker system prune -af` a
//! sleeping app still wakes, because `ensure_image` makes them again.
//!
//! ```text
//! siesta/run:<recipe>      the stack                    stack/run-<recipe>.tar.zst
//! siesta/deps:<key>        + /etc/passwd, /opt/python   files/<sha256>, unpacked in /opt
//! siesta/app:<slug id>     + /app                       files/<sha256>, unpacked in /
//! ```

pub mod files;
mod owner;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::{
    domain::{AppId, SlugId},
    engine::{
        ByteStream, ContainerId, Engine, EngineError, ImageRef, Labels,
        spec::{AppUid, AssemblyInput, LABEL_APP, LABEL_INSTANCE, LABEL_KIND, assembly_spec},
    },
};

pub use crate::domain::slug::Slug;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SlugError {
    #[error("A file of this slug is gone from the data folder ({0}). Deploy the app again.")]
    FileGone(String),
    #[error("The stack image {0} is not here and has no copy in the data folder. Run script/server again.")]
    NoStack(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("The data folder failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The owner of slug files. Cheap to clone.
#[derive(Clone)]
pub struct Slugs {
    root: Arc<PathBuf>,
    engine: Arc<dyn Engine>,
    instance: Arc<str>,
    flights: Arc<Flights>,
    /// Held for reading while an assembly container exists, for writing while they are swept.
    assembling: Arc<tokio::sync::RwLock<()>>,
}

/// One making at a time of each image.
#[derive(Default)]
struct Flights {
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Flights {
    fn lock_of(&self, image: &ImageRef) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&image.0).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(image.0.clone(), Arc::downgrade(&lock));
        lock
    }
}

/// What an image is made of: a base, and archives unpacked over it.
struct Recipe<'a> {
    image: &'a ImageRef,
    base: ImageRef,
    app: AppId,
    app_number: u32,
    layers: Vec<(PathBuf, ByteStream)>,
}

impl Slugs {
    /// `root` is the data folder.
    pub fn new(root: PathBuf, engine: Arc<dyn Engine>, instance: &str) -> Slugs {
        Slugs { root: Arc::new(root), engine, instance: instance.into(), flights: Arc::default(), assembling: Arc::default() }
    }

    /// The id of this server: what everything of ours in the engine is labelled with.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Where stored archives lie; made if it is not there.
    pub fn folder(&self) -> io::Result<PathBuf> {
        let folder = self.root.join("files");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Whether a stored archive is there.
    pub fn has_file(&self, sha256: &str) -> bool {
        self.root.join("files").join(sha256).is_file()
    }

    /// Whether what the slug is made of is there.
    pub fn has_files(&self, slug: &Slug) -> bool {
        self.has_file(&slug.code_file) && slug.deps_file.as_ref().is_none_or(|deps| self.has_file(deps))
    }

    /// Whether the slug can still run: its image is there, or what it is made of.
    pub async fn is_kept(&self, slug: &Slug) -> bool {
        self.has_files(slug) || self.engine.has_image(app_image(slug.id)).await.unwrap_or(false)
    }

    /// The decompressed bytes of a stored archive.
    pub fn open_file(&self, sha256: &str) -> Result<ByteStream, SlugError> {
        files::open(&self.root.join("files").join(sha256)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SlugError::FileGone(sha256.to_owned()),
            _ => SlugError::Io(error),
        })
    }

    /// The image that dynos of this slug run, made again from the files if the engine lost it.
    /// One making at a time for a slug; the others wait for it.
    pub async fn ensure_image(&self, slug: &Slug, app_number: u32) -> Result<ImageRef, SlugError> {
        let image = app_image(slug.id);
        let flight = self.flights.lock_of(&image);
        let _alone = flight.lock().await;
        if self.engine.has_image(image.clone()).await? {
            return Ok(image);
        }
        let code = owner::given_to(AppUid::of(app_number), self.open_file(&slug.code_file)?);
        let base = self.ensure_deps(slug, app_number).await?;
        let layers = vec![(PathBuf::from("/"), code)];
        self.make(Recipe { image: &image, base, app: slug.app_id, app_number, layers }).await?;
        Ok(image)
    }

    /// The dependency image of a slug.
    async fn ensure_deps(&self, slug: &Slug, app_number: u32) -> Result<ImageRef, SlugError> {
        let image = deps_image(&slug.deps_key);
        let flight = self.flights.lock_of(&image);
        let _alone = flight.lock().await;
        if self.engine.has_image(image.clone()).await? {
            return Ok(image);
        }
        let mut layers = vec![(PathBuf::from("/"), accounts(AppUid::of(app_number))?)];
        if let Some(deps) = &slug.deps_file {
            layers.push((PathBuf::from("/opt"), owner::given_to(AppUid::of(app_number), self.open_file(deps)?)));
        }
        let base = ImageRef(slug.stack.clone());
        self.ensure_stack(&base).await?;
        self.make(Recipe { image: &image, base, app: slug.app_id, app_number, layers }).await?;
        Ok(image)
    }

    /// A stack image, loaded from its copy in the data folder if the engine lost it.
    pub async fn ensure_stack(&self, image: &ImageRef) -> Result<(), SlugError> {
        let flight = self.flights.lock_of(image);
        let _alone = flight.lock().await;
        if self.engine.has_image(image.clone()).await? {
            return Ok(());
        }
        let missing = || SlugError::NoStack(image.0.clone());
        let copy = self.copy_of(image).ok_or_else(missing)?;
        let tar = files::open(&copy).map_err(|_| missing())?;
        self.engine.load_images(tar).await?;
        if self.engine.has_image(image.clone()).await? { Ok(()) } else { Err(missing()) }
    }

    /// Where the copy of a stack image lies that script/server keeps.
    fn copy_of(&self, image: &ImageRef) -> Option<PathBuf> {
        let (name, recipe) = image.0.strip_prefix("siesta/")?.split_once(':')?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (plain(name) && plain(recipe)).then(|| self.root.join("stack").join(format!("{name}-{recipe}.tar.zst")))
    }

    /// Removes stack images that no slug stands on any more, with their copies.
    pub async fn drop_stacks(&self, stacks: impl IntoIterator<Item = String>) -> Result<(), SlugError> {
        for image in stacks.into_iter().map(ImageRef) {
            let Some(copy) = self.copy_of(&image) else { continue };
            tracing::info!(stack = image.0, "no release stands on this stack any more: it is removed");
            self.engine.remove_image(image).await?;
            match std::fs::remove_file(copy) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn make(&self, recipe: Recipe<'_>) -> Result<(), SlugError> {
        let _assembling = self.assembling.read().await;
        let spec = assembly_spec(&AssemblyInput {
            instance: &self.instance,
            app: recipe.app,
            app_number: recipe.app_number,
            name: &Uuid::now_v7().to_string(),
            image: recipe.base,
        });
        let container = self.engine.create(spec).await?;
        let made = self.fill_and_freeze(&container, recipe.image, recipe.app, recipe.layers).await;
        let removed = self.engine.remove(container).await;
        made?;
        Ok(removed?)
    }

    async fn fill_and_freeze(
        &self,
        container: &ContainerId,
        image: &ImageRef,
        app: AppId,
        layers: Vec<(PathBuf, ByteStream)>,
    ) -> Result<(), SlugError> {
        for (path, tar) in layers {
            self.engine.put_archive(container.clone(), path, tar).await?;
        }
        let labels = Labels::from([
            (LABEL_INSTANCE.to_owned(), self.instance.to_string()),
            (LABEL_APP.to_owned(), app.to_string()),
            (LABEL_KIND.to_owned(), "slug".to_owned()),
        ]);
        Ok(self.engine.commit(container.clone(), image.clone(), labels).await?)
    }

    /// Removes what a killed server left: assembly containers of ours that nobody fills.
    pub async fn sweep(&self) -> Result<(), SlugError> {
        let _nobody = self.assembling.write().await;
        for container in self.engine.list().await? {
            if container.labels.get(LABEL_KIND).map(String::as_str) == Some("assembly") {
                self.engine.remove(container.id).await?;
            }
        }
        Ok(())
    }

    /// Removes the images of these slugs, and of these dependency keys; those in use stay.
    pub async fn drop_images(&self, slugs: &[SlugId], deps_keys: &[String]) -> Result<(), SlugError> {
        let images = slugs.iter().map(|slug| app_image(*slug)).chain(deps_keys.iter().map(|key| deps_image(key)));
        for image in images {
            self.engine.remove_image(image).await?;
        }
        Ok(())
    }

    /// Removes stored archives that are not in `kept`, of those named in `candidates`.
    pub fn drop_files(&self, candidates: &BTreeSet<String>, kept: &BTreeSet<String>) -> Result<(), SlugError> {
        for name in candidates.difference(kept) {
            match std::fs::remove_file(self.root.join("files").join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The image of a slug.
pub fn app_image(slug: SlugId) -> ImageRef {
    ImageRef(format!("siesta/app:{slug}"))
}

/// The image of a set of dependencies.
pub fn deps_image(key: &str) -> ImageRef {
    ImageRef(format!("siesta/deps:{}", key.get(..12).unwrap_or(key)))
}

/// `/etc/passwd` and `/etc/group` with the app's user, and its home, as a tar for `/`.
pub fn accounts(user: AppUid) -> io::Result<ByteStream> {
    let AppUid(uid) = user;
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nu{uid}:x:{uid}:{uid}::/app:/bin/bash\n"
    );
    let group = format!("root:x:0:\nnogroup:x:65534:\nu{uid}:x:{uid}:\n");
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in [("etc/passwd", passwd), ("etc/group", group)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())?;
    }
    let mut home = tar::Header::new_gnu();
    home.set_entry_type(tar::EntryType::Directory);
    home.set_mode(0o755);
    home.set_uid(u64::from(uid));
    home.set_gid(u64::from(uid));
    home.set_size(0);
    for path in ["app/", "opt/python/"] {
        tar.append_data(&mut home, path, io::empty())?;
    }
    Ok(stream::iter([Ok(Bytes::from(tar.into_inner()?))]).boxed())
}
