//! Who a client is: guest tokens, signed so that any instance knows its guests again. The same keys seal what Socket.IO
//! clients are given to come back with.
//!
//! A token is a JWT (HS256) that holds nothing but a user id and when it ends. It may use the words of the domain and
//! of the protocol; it knows no store, no socket and no clock: the time comes in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::domain::{User, UserId, UserName};
use crate::protocol::socketio::Seal;
use crate::protocol::{Code, Token};

/// How long a token lives, in seconds: 30 days from the last `welcome`.
pub const TOKEN_LIFE_S: u64 = 30 * 24 * 60 * 60;

/// Longest token that is looked at, in bytes. Ours have about 200.
pub const TOKEN_BYTES: usize = 1_024;

/// Who signs, and for what: a JWT that the same key signed for another purpose is not a guest token.
const ISSUER: &str = "confab";
const AUDIENCE: &str = "confab-guest";

/// The keys of guest tokens, prepared once.
pub struct Auth {
    signing: EncodingKey,
    verifying: Vec<DecodingKey>,
    header: Header,
    validation: Validation,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({} keys)", self.verifying.len())
    }
}

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The token isn't one of ours.
    #[error("the token was not given out here: say hello without one to be a new guest")]
    Forged,
    /// It was, but its time is over.
    #[error("the token has expired: say hello without one to be a new guest")]
    Expired,
    /// The new token could not be signed.
    #[error("no token could be signed")]
    Unsigned,
}

impl SignInError {
    /// The code of the refusal.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Forged | Self::Expired => Code::BadToken,
            Self::Unsigned => Code::Internal,
        }
    }
}

#[derive(Serialize)]
struct Given<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    exp: u64,
}

/// Issuer and audience are checked before these are read.
#[derive(Deserialize)]
struct Claimed {
    sub: String,
    exp: u64,
}

impl Auth {
    /// The first key signs, all verify; so a new key is put in front of the old one, which stays for
    /// [`TOKEN_LIFE_S`]. With no key at all one is made at random, which no other instance has.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        if keys.is_empty() {
            keys.push(new_key());
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        // The time of this call decides, not the library's clock.
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(keys[0].as_bytes()),
            verifying: keys.iter().map(|key| DecodingKey::from_secret(key.as_bytes())).collect(),
            header: Header::new(Algorithm::HS256),
            validation,
        }
    }

    /// Signs a guest in: the one the token was given to, or a new one where there is no token. The new token replaces
    /// the old one and lives [`TOKEN_LIFE_S`] from `now`, which is Unix time in seconds.
    ///
    /// # Errors
    /// A token that is forged or expired. It is never replaced by a new guest: the client decides.
    pub fn sign_in(&self, name: UserName, token: Option<&Token>, now: u64) -> Result<(User, Token), SignInError> {
        let id = match token {
            Some(token) => self.verify(token, now)?,
            None => new_id(),
        };
        Ok((User { name, id: id.clone() }, self.sign(&id, now)?))
    }

    /// A token for this user that lives [`TOKEN_LIFE_S`] from `now`, which is Unix time in seconds.
    ///
    /// # Errors
    /// [`SignInError::Unsigned`], which would be a fault of the cryptographic library.
    pub fn sign(&self, id: &UserId, now: u64) -> Result<Token, SignInError> {
        let given = Given { iss: ISSUER, aud: AUDIENCE, sub: id.as_str(), exp: now + TOKEN_LIFE_S };
        let token = jsonwebtoken::encode(&self.header, &given, &self.signing);
        token.map(Token::new).map_err(|_| SignInError::Unsigned)
    }

    fn verify(&self, token: &Token, now: u64) -> Result<UserId, SignInError> {
        let text = token.expose();
        if text.len() > TOKEN_BYTES {
            return Err(SignInError::Forged);
        }
        let claimed = self
            .verifying
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claimed>(text, key, &self.validation).ok())
            .ok_or(SignInError::Forged)?
            .claims;
        if claimed.exp <= now {
            return Err(SignInError::Expired);
        }
        UserId::parse(&claimed.sub).map_err(|_| SignInError::Forged)
    }
}

impl Seal for Auth {
    fn seal(&self, text: &str) -> String {
        // HMAC-SHA256 can't fail; an empty seal would never be accepted.
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.signing, Algorithm::HS256).unwrap_or_default()
    }

    fn is_seal(&self, text: &str, seal: &str) -> bool {
        let is_of = |key| jsonwebtoken::crypto::verify(seal, text.as_bytes(), key, Algorithm::HS256);
        self.verifying.iter().any(|key| is_of(key).unwrap_or(false))
    }
}

/// A new key for signing: 256 random bits in base64url.
#[must_use]
pub fn new_key() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A new guest's identity: 128 random bits in base64url.
#[must_use]
pub fn new_id() -> UserId {
    let text = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    UserId::parse(&text).unwrap_or_else(|invalid| unreachable!("22 characters of base64url {invalid}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const KEY: &str = "first-key-0123456789abcdefghijklmnop";
    const OTHER: &str = "other-key-0123456789abcdefghijklmnop";

    fn name() -> UserName {
        UserName::parse("Ada", 64).unwrap()
    }

    fn verify(auth: &Auth, token: &str, now: u64) -> Result<String, SignInError> {
        let signed_in = auth.sign_in(name(), Some(&Token::new(token.to_owned())), now);
        signed_in.map(|(user, _)| user.id.as_str().to_owned())
    }

    /// A token with a good signature, whatever its header and claims.
    fn signed(header: &Header, claims: &Value, key: &str) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "confab", "aud": "confab-guest", "sub": "u1", "exp": NOW + 10})
    }

    #[test]
    fn a_guest_stays_who_it_is_and_its_token_is_renewed() {
        let auth = Auth::new([KEY]);
        let (user, first) = auth.sign_in(name(), None, NOW).unwrap();
        let later = NOW + TOKEN_LIFE_S - 1;
        let (again, second) = auth.sign_in(UserName::parse("Bea", 64).unwrap(), Some(&first), later).unwrap();
        assert_eq!((user.id.clone(), again.name.as_str()), (again.id, "Bea"));
        assert_eq!(verify(&auth, first.expose(), later + 1), Err(SignInError::Expired));
        assert_eq!(verify(&auth, second.expose(), later + 1).as_deref(), Ok(user.id.as_str()));
    }

    #[test]
    fn two_guests_without_a_token_are_two_users() {
        let auth = Auth::new([KEY]);
        let id = || auth.sign_in(name(), None, NOW).unwrap().0.id;
        assert_ne!(id(), id());
        assert_eq!(id().as_str().len(), 22);
    }

    #[test]
    fn keys_are_changed_without_losing_a_guest() {
        let (before, between, after) = (Auth::new([KEY]), Auth::new([OTHER, KEY]), Auth::new([OTHER]));
        let (user, old) = before.sign_in(name(), None, NOW).unwrap();
        let (_, new) = between.sign_in(name(), Some(&old), NOW).unwrap();
        assert_eq!(verify(&after, new.expose(), NOW).as_deref(), Ok(user.id.as_str()));
        assert_eq!(verify(&after, old.expose(), NOW), Err(SignInError::Forged));
    }

    #[test]
    fn instances_without_a_key_do_not_trust_each_other() {
        let none = std::iter::empty::<&str>;
        let (_, token) = Auth::new(none()).sign_in(name(), None, NOW).unwrap();
        assert_eq!(verify(&Auth::new(none()), token.expose(), NOW), Err(SignInError::Forged));
    }

    #[test]
    fn only_a_token_of_this_very_kind_is_accepted() {
        let auth = Auth::new([KEY]);
        let hs256 = Header::new(Algorithm::HS256);
        assert_eq!(verify(&auth, &signed(&hs256, &claims(), KEY), NOW).as_deref(), Ok("u1"));
        for (field, value) in [
            ("iss", json!("other")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", Value::Null),
            ("sub", json!("")),
            ("sub", json!("two words")),
            ("sub", json!(7)),
            ("sub", json!("x".repeat(65))),
            ("exp", json!("soon")),
            ("exp", Value::Null),
        ] {
            let mut wrong = claims();
            wrong[field] = value;
            assert_eq!(verify(&auth, &signed(&hs256, &wrong, KEY), NOW), Err(SignInError::Forged), "{wrong}");
        }
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&Header::new(algorithm), &claims(), KEY);
            assert_eq!(verify(&auth, &token, NOW), Err(SignInError::Forged), "{algorithm:?}");
        }
        assert_eq!(verify(&auth, &signed(&hs256, &claims(), OTHER), NOW), Err(SignInError::Forged));
        assert_eq!(verify(&auth, &signed(&hs256, &claims(), KEY), NOW + 10), Err(SignInError::Expired));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let auth = Auth::new([KEY]);
        let good = signed(&Header::new(Algorithm::HS256), &claims(), KEY);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims()));
        let cut = &signature[..signature.len() - 1];
        for wrong in [
            String::new(),
            "x".into(),
            "..".into(),
            "a.b.c".into(),
            unsigned,
            message.to_owned(),
            format!("{message}."),
            format!("{message}.{cut}"),
            format!("{good}."),
            format!("{good}=="),
            format!("\u{0}{good}"),
            "x".repeat(TOKEN_BYTES + 1),
            format!("{good}{}", "A".repeat(TOKEN_BYTES)),
        ] {
            assert_eq!(verify(&auth, &wrong, NOW), Err(SignInError::Forged), "{wrong}");
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let auth = Auth::new([KEY]);
        let good = auth.sign_in(name(), None, NOW).unwrap().1;
        let user = verify(&auth, good.expose(), NOW).unwrap();
        for index in 0..good.expose().len() {
            let mut bytes = good.expose().as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = verify(&auth, std::str::from_utf8(&bytes).unwrap(), NOW);
            assert_eq!(changed, Err(SignInError::Forged), "character {index} of the token of {user}");
        }
    }
}
