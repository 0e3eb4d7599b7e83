//! Redis as Memorystore serves it: over TLS with an authority of its own, with a password and without the commands that it
//! blocks.

use std::path::PathBuf;
use std::time::Duration;

use confab::store::redis::{Options, Password, Tls};
use confab::store::{Durability, Publication, Store as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;

use crate::redis_server::RedisServer;
use crate::world::*;

/// Blocked by Memorystore, as far as Redis lets a command be taken away.
const BLOCKED: [&str; 14] = [
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DEBUG",
    "LASTSAVE",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "OBJECT",
    "SAVE",
    "SHUTDOWN",
];

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a server, and its key, in files.
    fn certify(&self, dir: &TempDir, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (dir.path().join(format!("{name}.pem")), dir.path().join(format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

/// Named by its address as common name only, as Memorystore's certificate is.
fn by_common_name(params: &mut CertificateParams) {
    params.subject_alt_names.clear();
    params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
}

/// A directory with an authority's file in it.
fn authority_in(dir: &TempDir) -> (Authority, PathBuf) {
    let authority = Authority::new();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    (authority, file)
}

fn secured(port: u16, ca_file: &std::path::Path, check_name: bool) -> Options {
    Options {
        tls: Some(Tls { ca_file: Some(ca_file.to_owned()), check_name }),
        password: Password::Fixed("secret".to_owned()),
        ..options(port)
    }
}

async fn complaint(options: Options) -> String {
    let options = Options { startup_timeout: Duration::from_millis(700), ..options };
    let limits = std::sync::Arc::new(fast());
    let Err(error) = confab::store::redis::Redis::connect(options, limits, None).await else { panic!("it started") };
    error.to_string()
}

#[tokio::test]
async fn all_works_as_memorystore_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca_file) = authority_in(&dir);
    let certificate = authority.certify(&dir, "server", by_common_name);
    let mut settings = vec!["--requirepass", "secret", "--maxmemory", "64mb", "--maxmemory-policy", "noeviction"];
    BLOCKED.iter().for_each(|command| settings.extend(["--rename-command", command, ""]));
    let server = RedisServer::with_tls(&certificate, &settings).await;
    let replica = RedisServer::replica_with_password(&server, "secret").await;
    let patient = Options {
        wait_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_secs(6),
        ..secured(server.tls_port(), &ca_file, false)
    };
    let (store, mut feed) = connect(patient).await;
    assert_eq!(store.durability(), Durability::Replicated);
    store.subscribe(&room("r")).await.unwrap();
    store.renew_lease(10_000).await.unwrap();
    store.enter(&room("r"), &user("ada"), 0).await.unwrap();
    assert_eq!(store.members(&room("r"), 10).await.unwrap().count, 1);
    for number in 0..20 {
        assert_eq!(write(&store, "r", &format!("k{number}")).await.durability, Durability::Replicated);
    }
    for number in 0..20 {
        let heard = hear(&mut feed, |heard| matches!(heard, Publication::Entry(..))).await;
        assert!(matches!(heard, Publication::Entry(_, entry) if entry.offset == number + 1));
    }
    assert_eq!(read(&store, "r").await.entries.len(), 20);
    assert_eq!(store.sweep().await.unwrap(), 0);
    until("it is known how full Redis is", async || store.health().full_percent.is_some()).await;
    drop(replica);
}

#[tokio::test]
async fn a_name_that_only_the_common_name_says_is_refused_by_full_and_accepted_by_ca() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca_file) = authority_in(&dir);
    let server =
        RedisServer::with_tls(&authority.certify(&dir, "cn", by_common_name), &["--requirepass", "secret"]).await;
    let line = complaint(secured(server.tls_port(), &ca_file, true)).await;
    assert!(line.contains("store.tls_verify"), "{line}");
    let (store, _feed) = connect(secured(server.tls_port(), &ca_file, false)).await;
    write(&store, "r", "k").await;
}

#[tokio::test]
async fn a_certificate_that_names_the_address_passes_full() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca_file) = authority_in(&dir);
    let server = RedisServer::with_tls(&authority.certify(&dir, "san", |_| {}), &["--requirepass", "secret"]).await;
    let (store, _feed) = connect(secured(server.tls_port(), &ca_file, true)).await;
    write(&store, "r", "k").await;
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_are_refused_whatever_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca_file) = authority_in(&dir);
    let (_, other_file) = {
        let other = Authority::new();
        let file = dir.path().join("other.pem");
        std::fs::write(&file, &other.pem).unwrap();
        (other, file)
    };
    let good = RedisServer::with_tls(&authority.certify(&dir, "good", |_| {}), &[]).await;
    for check_name in [true, false] {
        let line = complaint(secured(good.tls_port(), &other_file, check_name)).await;
        assert!(line.contains("store.ca_file"), "{line}");
    }
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let future = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    for certificate in [authority.certify(&dir, "past", past), authority.certify(&dir, "future", future)] {
        let server = RedisServer::with_tls(&certificate, &[]).await;
        let line = complaint(secured(server.tls_port(), &ca_file, false)).await;
        assert!(line.contains("xpired") || line.contains("not valid yet"), "{line}");
    }
}

#[tokio::test]
async fn a_plain_endpoint_and_a_tls_one_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca_file) = authority_in(&dir);
    let server = RedisServer::with_tls(&authority.certify(&dir, "server", |_| {}), &[]).await;
    let line = complaint(options(server.tls_port())).await;
    assert!(line.contains("rediss://"), "{line}");
    let line = complaint(secured(server.port(), &ca_file, true)).await;
    assert!(line.contains("redis://"), "{line}");
}

#[tokio::test]
async fn a_new_authority_in_the_file_is_trusted_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (old, ca_file) = authority_in(&dir);
    let new = Authority::new();
    let server = RedisServer::with_tls(&old.certify(&dir, "old", |_| {}), &["--requirepass", "secret"]).await;
    let (store, mut feed) = connect(secured(server.tls_port(), &ca_file, true)).await;
    store.subscribe(&room("r")).await.unwrap();
    let mut expected = Vec::new();
    let (certificate, key) = new.certify(&dir, "new", |_| {});
    for number in 0..60 {
        if number == 20 {
            // Published long before it is used.
            std::fs::write(&ca_file, format!("{}{}", old.pem, new.pem)).unwrap();
        }
        if number == 40 {
            let files = [certificate.to_str().unwrap(), key.to_str().unwrap()];
            let set = ["-a", "secret", "CONFIG", "SET", "tls-cert-file", files[0], "tls-key-file", files[1]];
            assert!(server.cli(&set).await.contains("OK"));
            for kind in ["normal", "pubsub"] {
                server.cli(&["-a", "secret", "CLIENT", "KILL", "TYPE", kind]).await;
            }
        }
        let key = format!("k{number}");
        write_at_last(&store, "r", &key).await;
        expected.push(key);
    }
    assert_eq!(keys(&read(&store, "r").await), expected);
    write_until_heard(&store, &mut feed, "r").await;
}
