//! Host names of an app's own.

use crate::domain::{AppId, DomainId, Timestamp};

/// One host name of an app as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub id: DomainId,
    pub app_id: AppId,
    pub hostname: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Why a host name is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostnameError {
    #[error("That is not a host name. Write it like www.example.org, without scheme, port and path.")]
    Malformed,
    #[error("Wildcard domains are not offered. Add each name.")]
    Wildcard,
    #[error("That name belongs to the platform itself.")]
    Reserved,
}

/// A host name as typed, in lower case: two labels at least, letters, digits and dashes, no address.
/// `reserved` are names of the platform: neither they nor what is below them can be had.
pub fn parse(text: &str, reserved: &[&str]) -> Result<String, HostnameError> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if name.starts_with("*.") {
        return Err(HostnameError::Wildcard);
    }
    let labels: Vec<&str> = name.split('.').collect();
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good =
        |label: &&str| (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-');
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if labels.len() < 2 || name.len() > 253 || numeric || !labels.iter().all(good) {
        return Err(HostnameError::Malformed);
    }
    let taken = |own: &str| name == own || name.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'));
    if labels.last() == Some(&"localhost") || reserved.iter().any(|own| taken(own)) {
        return Err(HostnameError::Reserved);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_others_are_taken() {
        let read = |text: &str| parse(text, &["apps.example.org", "panel.example.org"]);
        assert_eq!(read(" WWW.Example.org. ").as_deref(), Ok("www.example.org"));
        assert_eq!(read("myapps.example.org").as_deref(), Ok("myapps.example.org"));
        for bad in ["", "localhost", "example", "http://a.org", "a.org/x", "a.org:80", "a_b.org", "-a.org", "10.0.0.1", "a..org", "ñ.org"]
        {
            assert_eq!(read(bad), Err(HostnameError::Malformed), "{bad}");
        }
        for own in ["apps.example.org", "shop.apps.example.org", "panel.example.org", "x.localhost"] {
            assert_eq!(read(own), Err(HostnameError::Reserved), "{own}");
        }
        assert_eq!(read("*.example.net"), Err(HostnameError::Wildcard));
    }
}
