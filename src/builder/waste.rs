//! What can be removed without losing anything: images, which are made again from files, and files that
//! no slug names (a build was cut off between the two).

use std::{collections::BTreeSet, fs, time::Duration};

use crate::builder::{BuildError, Builder};

/// A file younger than this may belong to a build that runs.
const AGE: Duration = Duration::from_secs(24 * 3600);

/// What would be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waste {
    /// Images of ours; those in use stay.
    pub images: usize,
    pub files: usize,
    /// Of the files.
    pub bytes: u64,
}

impl Builder {
    /// Looks, and removes nothing.
    pub async fn waste(&self) -> Result<Waste, BuildError> {
        let (files, bytes) = self.orphans().await?;
        let images = self.queue.parts.engine.list_images().await?.len();
        Ok(Waste { images, files: files.len(), bytes })
    }

    /// Removes it. The next wake of a sleeping app makes its image again, which takes some seconds.
    pub async fn clean(&self) -> Result<Waste, BuildError> {
        let parts = &self.queue.parts;
        let (files, bytes) = self.orphans().await?;
        parts.slugs.drop_files(&files, &BTreeSet::new())?;
        let images = parts.engine.list_images().await?;
        let before = images.len();
        for image in images {
            parts.engine.remove_image(image).await?;
        }
        let left = parts.engine.list_images().await?.len();
        Ok(Waste { images: before - left.min(before), files: files.len(), bytes })
    }

    /// Archives that no slug names, and their bytes.
    async fn orphans(&self) -> Result<(BTreeSet<String>, u64), BuildError> {
        let parts = &self.queue.parts;
        let named = parts.reader.slug_files().await?;
        let (mut names, mut bytes) = (BTreeSet::new(), 0);
        for entry in fs::read_dir(parts.slugs.folder()?)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(about) = entry.metadata() else { continue };
            let written = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
            let now = Duration::from_millis(u64::try_from(parts.clock.now().millis()).unwrap_or(0));
            if !named.contains(&name) && now.saturating_sub(written) > AGE {
                bytes += about.len();
                names.insert(name);
            }
        }
        Ok((names, bytes))
    }
}
