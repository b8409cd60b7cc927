//! A PostgreSQL server of the operator's instead of our container: our socket stays where relay, dumps
//! and we ourselves look for the server, and every connection to it is copied to that address.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener},
};

use crate::{config::PostgresServer, scheduler::Tasks};

/// The socket of a PostgreSQL server on port 5432.
const SOCKET: &str = ".s.PGSQL.5432";
const CONNECT: Duration = Duration::from_secs(10);

/// Binds the socket in this folder and copies for ever.
pub fn lead_out(server: &PostgresServer, folder: &Path, tasks: &Tasks) -> std::io::Result<()> {
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    let (address, copies) = (Arc::<str>::from(server.address.as_str()), tasks.clone());
    tasks.spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let address = address.clone();
            copies.spawn(async move {
                match tokio::time::timeout(CONNECT, TcpStream::connect(&*address)).await {
                    Ok(Ok(mut there)) => {
                        let _ = there.set_nodelay(true);
                        // Either side may end whenever it likes.
                        let _ = copy_bidirectional(&mut here, &mut there).await;
                    }
                    Ok(Err(error)) => tracing::warn!(%address, %error, "the PostgreSQL server does not answer"),
                    Err(_) => tracing::warn!(%address, "the PostgreSQL server does not answer in time"),
                }
            });
        }
    });
    Ok(())
}
