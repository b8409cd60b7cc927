//! `siesta doctor`: the running server examines itself; without one the subcommand does.

use std::{path::Path, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};

use super::{
    AdminClient, AdminError, Said,
    door::{Door, refuse},
};
use crate::{
    clock::SystemClock,
    config::Config,
    doctor::{Doctor, Finding, Running},
    domain::AppId,
    engine::docker::Docker,
};

/// The server's side.
pub(super) async fn findings(State(door): State<Door>) -> Result<Json<Vec<Finding>>, (StatusCode, Json<Said>)> {
    let names = door.reader.apps().await.map_err(refuse)?;
    let name = |id: AppId| names.iter().find(|app| app.id == id).map_or_else(|| "an app".to_owned(), |app| app.name.to_string());
    let troubles = door.drains.troubles().await.map_err(refuse)?;
    let drains = troubles.into_iter().map(|(app, why)| (name(app), why)).collect();
    Ok(Json(Doctor { running: Some(Running { drains }), ..door.doctor }.examine().await))
}

/// What is found, by the server of the data folder or, when none runs, by this process.
///
/// # Errors
/// When the server's answer is cut off, or the Docker socket's path is none.
pub async fn examine(config: Config) -> Result<Vec<Finding>, AdminError> {
    let data = config.options.data_dir.clone();
    match AdminClient::new(&data).ask("GET", "/doctor", &()).await {
        Ok(text) => serde_json::from_str(&text).map_err(|error| AdminError::Broken(error.to_string())),
        Err(AdminError::NotRunning(_)) => {
            let engine =
                Docker::connect(&config.options.docker_socket, &instance_of(&data)).map_err(|e| AdminError::Refused(e.to_string()))?;
            let doctor = Doctor::of_folder(Arc::new(config), Arc::new(SystemClock), Arc::new(engine)).await;
            Ok(doctor.examine().await)
        }
        Err(error) => Err(error),
    }
}

/// The id a server wrote down at its start; without one nothing in the engine is ours.
fn instance_of(data: &Path) -> String {
    std::fs::read_to_string(data.join("instance")).unwrap_or_else(|_| "none".to_owned()).trim().to_owned()
}
