//! The TLS set-up: the authorities a server's certificate is checked against. Nothing switches the check off.

use std::path::Path;
use std::sync::Arc;

use headrace_core::{Error, Result, clock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where systems keep the authorities they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Builds the client side of TLS, trusting the given file of authorities or else those of the system.
///
/// # Errors
/// A configuration error when the file cannot be used.
pub(super) fn client(authorities: Option<&str>) -> Result<Arc<rustls::ClientConfig>> {
    let path = match authorities {
        Some(path) => path.to_owned(),
        None => system_bundle()?,
    };
    let unusable = |error: String| Error::configuration(format!("cannot use tls_ca {path}: {error}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        // A system's bundle may hold an old certificate that the library does not read; a given file must be good.
        if let Err(error) = roots.add(certificate)
            && authorities.is_some()
        {
            return Err(unusable(error.to_string()));
        }
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn system_bundle() -> Result<String> {
    clock::environment("SSL_CERT_FILE")
        .into_iter()
        .chain(SYSTEM_BUNDLES.map(str::to_owned))
        .find(|path| Path::new(path).is_file())
        .ok_or_else(|| {
            Error::configuration("tls=true: this system has no file of trusted authorities; give one with tls_ca=FILE")
        })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::client;

    #[test]
    fn refuses_files_that_hold_no_authority() {
        let error = client(Some("/no/such/file.pem")).unwrap_err().to_string();
        assert!(error.contains("/no/such/file.pem"), "{error}");
        let mut empty = tempfile::NamedTempFile::new().unwrap();
        empty.write_all(b"no certificate here\n").unwrap();
        let error = client(empty.path().to_str()).unwrap_err().to_string();
        assert!(error.contains("no certificate"), "{error}");
    }
}
