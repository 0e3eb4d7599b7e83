//! Certificates of the campaign's own authorities, made with `openssl`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate for 127.0.0.1, and who signed it. All are PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority's certificate.
    pub authority: PathBuf,
}

impl Certificate {
    /// A new authority and a certificate that it signed.
    ///
    /// # Errors
    /// `openssl` isn't there or refuses.
    pub fn new(dir: &Path, name: &str) -> io::Result<Self> {
        let path = |suffix: &str| dir.join(format!("{name}{suffix}"));
        let (authority, authority_key) = (path("-ca.pem"), path("-ca.key"));
        let (chain, key, request, extensions) = (path(".pem"), path(".key"), path(".csr"), path(".ext"));
        std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")?;
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut own = openssl();
        own.args(["req", "-x509", "-days", "2"]).args(ec).args(["-subj", &format!("/CN={name} authority")]);
        own.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        run(own.arg("-keyout").arg(&authority_key).arg("-out").arg(&authority))?;
        let mut ask = openssl();
        ask.args(["req", "-new"]).args(ec).args(["-subj", "/CN=127.0.0.1"]);
        run(ask.arg("-keyout").arg(&key).arg("-out").arg(&request))?;
        let mut sign = openssl();
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial"]).arg("-in").arg(&request);
        sign.arg("-CA").arg(&authority).arg("-CAkey").arg(&authority_key);
        run(sign.arg("-extfile").arg(&extensions).arg("-out").arg(&chain))?;
        Ok(Self { chain, key, authority })
    }
}

fn openssl() -> Command {
    Command::new("openssl")
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output().map_err(|error| io::Error::other(format!("openssl: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
