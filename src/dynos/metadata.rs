//! Variables that tell a dyno about itself: for apps with the feature `runtime-dyno-metadata`, as
//! Heroku names them (heroku.md 2.3). Config vars of the same name win.

use crate::{domain::feature::Feature, dynos::make::Making, store::StoreError};

/// The variables; none for an app without the feature.
pub(super) async fn of(making: &Making<'_>) -> Result<Vec<(String, String)>, StoreError> {
    let parts = &making.context.parts;
    let (app, release, slug) = (making.app, &making.revision.release, &making.revision.slug);
    if !parts.reader.app_features(app.id).await?.iter().any(|(name, _)| name == Feature::RuntimeDynoMetadata.as_str()) {
        return Ok(Vec::new());
    }
    let vars = [
        ("HEROKU_APP_ID", app.id.to_string()),
        ("HEROKU_APP_NAME", app.name.to_string()),
        ("HEROKU_APP_DEFAULT_DOMAIN_NAME", format!("{}.{}", app.name, parts.config.options.apps_domain)),
        ("HEROKU_DYNO_ID", making.id.to_string()),
        ("HEROKU_RELEASE_CREATED_AT", release.created_at.to_string()),
        ("HEROKU_RELEASE_VERSION", release.version.to_string()),
        ("HEROKU_SLUG_COMMIT", slug.commit.clone().unwrap_or_default()),
        ("HEROKU_SLUG_DESCRIPTION", release.description.clone()),
    ];
    Ok(vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
