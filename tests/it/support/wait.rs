//! Waiting for a state of real processes, which nobody announces.

use std::time::Duration;

/// Patience with a loaded machine.
pub const LONG: Duration = Duration::from_secs(120);

/// Looks again and again until it is so; whether it was within two minutes.
pub async fn comes(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let look = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, look).await.is_ok()
}

/// Waits until it is so; says what never came when it never is.
pub async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    assert!(comes(is_so).await, "never came: {what}");
}

/// Waits for something that comes by itself.
pub async fn in_time<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, coming).await {
        Ok(come) => come,
        Err(_) => panic!("never came: {what}"),
    }
}
