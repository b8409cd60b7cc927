//! A certificate for a door on loopback: good for `localhost` on this machine and for nothing else.
//!
//! It is signed by a CA made for the occasion, whose certificate allows loopback alone and whose key is
//! forgotten at once: trusting it lets nobody pretend to be any other place.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};

use super::{BACKDATED, DAY, TlsError, hold};
use crate::clock::Clock;

/// A door that stays open longer is opened anew.
const LIFE: std::time::Duration = std::time::Duration::from_secs(730 * DAY.as_secs());

/// What a listener on loopback speaks TLS with, and the CA's certificate (PEM) for its clients.
/// Each call makes another pair; the keys are in memory only.
///
/// # Errors
/// When the keys cannot be made.
pub fn loopback(clock: &dyn Clock) -> Result<(Arc<ServerConfig>, String), TlsError> {
    let now = clock.now();
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut ca = CertificateParams::default();
    ca.distinguished_name = named("Siesta door on this machine");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
        ],
        excluded_subtrees: Vec::new(),
    });
    hold(&mut ca, now - BACKDATED, now + LIFE);
    let pem = ca.self_signed(&ca_key)?.pem();
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name = named("localhost");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    hold(&mut leaf, now - BACKDATED, now + LIFE);
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("the provider knows TLS 1.2 and 1.3").with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut tls = builder.with_single_cert(vec![certificate.der().clone()], key).map_err(TlsError::Mismatch)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(tls), pem))
}

fn named(name: &str) -> rcgen::DistinguishedName {
    let mut distinguished = rcgen::DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::super::tests::connect;
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_door_on_loopback_is_trusted_as_loopback_alone() {
        let (tls, ca) = loopback(&SystemClock).unwrap();
        for name in ["localhost", "127.0.0.1"] {
            connect(&tls, &ca, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(connect(&tls, &ca, "siesta.example.org").await.is_err());
        let (other, _) = loopback(&SystemClock).unwrap();
        assert!(connect(&other, &ca, "localhost").await.is_err(), "each run has a CA of its own");
    }
}
