//! TLS: the certificate of a server, read again when its files change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};

/// Time for which the files are not looked at again.
const LOOK: Duration = Duration::from_secs(1);

/// Files of a certificate, in PEM: the chain, the server's own first, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The server's side of TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    certificate: Arc<Certificate>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
    version: ArcSwap<Version>,
    /// Time of the next look at the files, in milliseconds after `started`.
    next_look: AtomicU64,
    started: Instant,
}

/// When each file was changed.
type Version = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the certificate.
    ///
    /// # Errors
    /// [`Error::Config`] if a file cannot be read, or if the key is not that of the certificate.
    pub fn open(files: CertificateFiles) -> Result<Tls> {
        let provider = Arc::new(default_provider());
        let version = files.version();
        let certified = files.read(&provider).map_err(Error::Config)?;
        let certificate = Arc::new(Certificate {
            files,
            current: ArcSwap::from_pointee(certified),
            version: ArcSwap::from_pointee(version),
            next_look: AtomicU64::new(0),
            started: Instant::now(),
        });
        Ok(Tls { certificate, provider })
    }

    /// Returns what accepts connections of these protocols (ALPN, RFC 7301), the preferred first.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let resolver = Resolver { tls: self.clone() };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("the provider has both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[derive(Debug)]
struct Resolver {
    tls: Tls,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = &self.tls.certificate;
        certificate.look(&self.tls.provider);
        Some(certificate.current.load_full())
    }
}

impl Certificate {
    /// Reads the files again if they have changed. Those that cannot be used change nothing, as they
    /// may be half written.
    fn look(&self, provider: &CryptoProvider) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (due, next) = (self.next_look.load(Ordering::Relaxed), now + LOOK.as_millis() as u64);
        let exchange = |due| {
            self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let version = self.files.version();
        if now < due || !exchange(due) || **self.version.load() == version {
            return;
        }
        match self.files.read(provider) {
            Ok(certified) => {
                self.current.store(Arc::new(certified));
                self.version.store(Arc::new(version));
                tracing::info!("the certificate was read again");
            }
            Err(error) => tracing::error!(error, "the certificate stays as it was"),
        }
    }
}

impl CertificateFiles {
    fn version(&self) -> Version {
        [&self.cert, &self.key].map(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok())
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let refused = |file: &Path, what: &str, error: &dyn std::fmt::Display| {
            format!("{}: {what}: {error}", file.display())
        };
        let no_chain = |error| refused(&self.cert, "no certificate in PEM can be read", &error);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.cert)
            .map_err(no_chain)?
            .collect::<Result<_, _>>()
            .map_err(no_chain)?;
        if chain.is_empty() {
            return Err(refused(
                &self.cert,
                "it has no certificate",
                &"-----BEGIN CERTIFICATE----- is missing",
            ));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| refused(&self.key, "no private key in PEM can be read", &error))?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| refused(&self.key, "it is not the key of the certificate", &error))
    }
}
