//! The hourly allowance of an account: a bucket that refills all the time (heroku.md 9.1).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::HeaderValue;

use crate::{
    api::Api,
    domain::{Timestamp, UserId},
    http::{Caller, Fault},
};

const HOUR_MILLIS: i64 = 3_600_000;

/// What is left for each account, in thousandths of a millisecond's worth: whole numbers, no drift.
pub struct Allowance {
    per_hour: i64,
    spent: Mutex<HashMap<UserId, (i64, Timestamp)>>,
}

impl Allowance {
    pub fn new(per_hour: u32) -> Allowance {
        Allowance { per_hour: i64::from(per_hour).max(1), spent: Mutex::default() }
    }

    /// Takes `calls` from the account; the calls left, or the seconds until one is left.
    pub fn take(&self, user: UserId, calls: i64, now: Timestamp) -> Result<i64, u64> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let (used, at) = spent.get(&user).copied().unwrap_or((0, now));
        // One call costs an hour of milliseconds; each millisecond gives `per_hour` of them back.
        let returned = (now.millis() - at.millis()).clamp(0, HOUR_MILLIS) * self.per_hour;
        let used = (used - returned).max(0) + calls * HOUR_MILLIS;
        let room = self.per_hour * HOUR_MILLIS - used;
        if room < 0 {
            let seconds = (-room / self.per_hour).unsigned_abs().div_ceil(1000);
            return Err(seconds.max(1));
        }
        spent.insert(user, (used, now));
        Ok(room / HOUR_MILLIS)
    }
}

/// Layer: counts the calls of accounts and says what is left. Asking what is left is free.
pub async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(user) = request.extensions().get::<Caller>().map(|caller| caller.user.id) else {
        return next.run(request).await;
    };
    let calls = i64::from(request.uri().path() != "/account/rate-limits");
    match api.allowance.take(user, calls, api.clock.now()) {
        Ok(left) => {
            let mut response = next.run(request).await;
            response.headers_mut().insert("ratelimit-remaining", HeaderValue::from(left));
            response
        }
        Err(seconds) => {
            let message = "Your account reached the API rate limit. Please wait a few minutes before making new requests.";
            let mut response = Fault::rate_limited(message, seconds).into_response();
            response.headers_mut().insert("ratelimit-remaining", HeaderValue::from(0));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_allowance_runs_out_and_refills_75_a_minute() {
        let allowance = Allowance::new(4_500);
        let (user, now) = (UserId::new(), Timestamp::from_secs(1_000));
        for left in (0..4_500).rev() {
            assert_eq!(allowance.take(user, 1, now), Ok(left));
        }
        assert_eq!(allowance.take(user, 1, now), Err(1));
        assert_eq!(allowance.take(user, 0, now), Ok(0));
        assert_eq!(allowance.take(UserId::new(), 1, now), Ok(4_499), "others have their own");
        assert_eq!(allowance.take(user, 1, now + Duration::from_secs(60)), Ok(74));
        assert_eq!(allowance.take(user, 0, now + Duration::from_secs(100_000)), Ok(4_500));
    }
}
