//! The client side of TLS for connectors that speak HTTP. Nothing switches the check of certificates off.

use std::sync::Arc;

use headrace_core::{Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Trusts the given file of authorities, or else those of the system. A connection that is not secure needs none; the scheme is
/// how texts call the connector.
///
/// # Errors
/// A configuration error when the file cannot be used, or there is none and the connection needs one.
pub(crate) fn client(scheme: &str, authorities: Option<&str>, is_secure: bool) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = authorities {
        let unusable = |error: String| Error::configuration(format!("cannot use tls_ca {path}: {error}"));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it holds no certificate in PEM form".to_owned()));
        }
    } else if is_secure {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::configuration(format!(
                "{scheme}: this system has no file of trusted authorities; give one with tls_ca=FILE"
            )));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("cannot set up TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
