//! JSON Web Tokens (HS256): who the bearer is, until when.
//!
//! One algorithm, one key, five claims: the HMAC and its constant-time comparison come from RustCrypto. The
//! general JWT crates bring RSA and elliptic curves along, or a process-wide choice of a crypto provider.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    Access,
    Refresh,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Invalid,
    Expired,
}

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    #[serde(rename = "type")]
    pub(crate) kind: TokenKind,
    /// The user's generation: a token of an earlier one was issued before the user was changed or dropped.
    #[serde(rename = "gen")]
    pub(crate) generation: u64,
    iat: u64,
    exp: u64,
}

/// Signs and verifies with one secret.
pub(crate) struct TokenKey(Hmac<Sha256>);

/// `{"alg":"HS256","typ":"JWT"}`: a token with any other header is refused before its signature is looked at.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

impl TokenKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// A signed token and the moment at which it expires (whole seconds, as the claim holds them).
    pub(crate) fn issue(
        &self,
        user: &str,
        generation: u64,
        kind: TokenKind,
        lifetime: Duration,
        now: SystemTime,
    ) -> (String, SystemTime) {
        let iat = seconds(now);
        let exp = iat.saturating_add(lifetime.as_secs());
        let claims = Claims { sub: user.to_owned(), kind, generation, iat, exp };
        let claims = serde_json::to_vec(&claims).expect("claims are plain strings and numbers");
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.mac(&signed).finalize().into_bytes();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        (token, UNIX_EPOCH + Duration::from_secs(exp))
    }

    /// The claims of `token`, if it is ours, of this kind and not expired.
    pub(crate) fn verify(&self, token: &str, kind: TokenKind, now: SystemTime) -> Result<Claims, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let claims = signed.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('.'));
        let claims = claims.ok_or(TokenError::Invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Invalid)?;
        self.mac(signed).verify_slice(&signature).map_err(|_| TokenError::Invalid)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Invalid)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Invalid)?;
        if claims.kind != kind {
            return Err(TokenError::Invalid);
        }
        if seconds(now) >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        mac
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn issued(kind: TokenKind) -> (TokenKey, String, SystemTime) {
        let key = TokenKey::new(&[7; 32]);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (token, expires) = key.issue("ann", 3, kind, HOUR, now);
        assert_eq!(expires, now + HOUR);
        (key, token, now)
    }

    #[test]
    fn a_token_gives_back_who_it_was_issued_to() {
        let (key, token, now) = issued(TokenKind::Access);
        let claims = key.verify(&token, TokenKind::Access, now).unwrap();
        assert_eq!((claims.sub.as_str(), claims.generation), ("ann", 3));
    }

    #[test]
    fn a_token_expires_and_serves_only_its_kind() {
        let (key, token, now) = issued(TokenKind::Access);
        let just_before = now + HOUR - Duration::from_secs(1);
        assert!(key.verify(&token, TokenKind::Access, just_before).is_ok());
        assert_eq!(key.verify(&token, TokenKind::Access, now + HOUR), Err(TokenError::Expired));
        assert_eq!(key.verify(&token, TokenKind::Refresh, now), Err(TokenError::Invalid));
    }

    #[test]
    fn a_changed_or_foreign_token_is_invalid() {
        let (key, token, now) = issued(TokenKind::Access);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.verify(&changed, TokenKind::Access, now), Err(TokenError::Invalid), "byte {at}");
        }
        let other = TokenKey::new(&[8; 32]);
        assert_eq!(other.verify(&token, TokenKind::Access, now), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_without_a_signature_is_invalid() {
        let (key, token, now) = issued(TokenKind::Access);
        let signed = token.rsplit_once('.').unwrap().0;
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let claims = signed.split_once('.').unwrap().1;
        for bad in ["", ".", "..", signed, &format!("{signed}."), &format!("{none}.{claims}.")] {
            assert_eq!(key.verify(bad, TokenKind::Access, now), Err(TokenError::Invalid), "{bad:?}");
        }
    }
}
