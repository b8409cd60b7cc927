//! Slugs: the files a release is made of (code, dependencies, stack), deduplicated by hash in the
//! data folder, and the images made of them. Images are caches: after `docker system prune -af` a
//! sleeping app still wakes, because `ensure_image` makes them again.

use std::{path::PathBuf, sync::Arc};

use crate::engine::{Engine, EngineError, ImageRef};

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
    #[expect(dead_code, reason = "filled in with the builder")]
    root: Arc<PathBuf>,
    #[expect(dead_code, reason = "filled in with the builder")]
    engine: Arc<dyn Engine>,
    #[expect(dead_code, reason = "filled in with the builder")]
    instance: Arc<str>,
}

impl Slugs {
    /// `root` is the data folder.
    pub fn new(root: PathBuf, engine: Arc<dyn Engine>, instance: &str) -> Slugs {
        Slugs { root: Arc::new(root), engine, instance: instance.into() }
    }

    /// The image that dynos of this slug run, made again from the files if the engine lost it.
    /// One making at a time for a slug; the others wait for it.
    pub async fn ensure_image(&self, slug: &Slug, app_number: u32) -> Result<ImageRef, SlugError> {
        let _ = (slug, app_number);
        todo!()
    }
}
